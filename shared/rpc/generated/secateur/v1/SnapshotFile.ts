// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

/**
 * One microbatch's hidden states at a layer boundary, as a file.
 */
export interface SnapshotFile {
  'boundary'?: (number);
  'microbatch'?: (number);
  'file'?: (_secateur_v1_FileRef | null);
}

/**
 * One microbatch's hidden states at a layer boundary, as a file.
 */
export interface SnapshotFile__Output {
  'boundary': (number);
  'microbatch': (number);
  'file': (_secateur_v1_FileRef__Output | null);
}
