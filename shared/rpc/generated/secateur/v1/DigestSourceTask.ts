// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

/**
 * SHA-256 of one file of the source.
 */
export interface DigestSourceTask {
  'file'?: (_secateur_v1_FileRef | null);
}

/**
 * SHA-256 of one file of the source.
 */
export interface DigestSourceTask__Output {
  'file': (_secateur_v1_FileRef__Output | null);
}
