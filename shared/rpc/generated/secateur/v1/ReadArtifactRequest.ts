// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/artifacts.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

export interface ReadArtifactRequest {
  'job'?: (string);
  'file'?: (_secateur_v1_FileRef | null);
  'offset'?: (number);
  /**
   * 0: to the end of the file.
   */
  'length'?: (number);
}

export interface ReadArtifactRequest__Output {
  'job': (string);
  'file': (_secateur_v1_FileRef__Output | null);
  'offset': (number);
  /**
   * 0: to the end of the file.
   */
  'length': (number);
}
