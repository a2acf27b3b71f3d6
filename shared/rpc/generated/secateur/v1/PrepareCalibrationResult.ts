// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

export interface PrepareCalibrationResult {
  'file'?: (_secateur_v1_FileRef | null);
  'samples'?: (number);
  'sequenceLength'?: (number);
  /**
   * The files that were read, with their digests, in the order of the manifest.
   */
  'inputs'?: (_secateur_v1_FileRef)[];
}

export interface PrepareCalibrationResult__Output {
  'file': (_secateur_v1_FileRef__Output | null);
  'samples': (number);
  'sequenceLength': (number);
  /**
   * The files that were read, with their digests, in the order of the manifest.
   */
  'inputs': (_secateur_v1_FileRef__Output)[];
}
