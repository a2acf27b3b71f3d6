// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

export interface PrepareEvaluationResult {
  'file'?: (_secateur_v1_FileRef | null);
  'windows'?: (number);
  'sequenceLength'?: (number);
  /**
   * The file that was read, with its digest.
   */
  'input'?: (_secateur_v1_FileRef | null);
}

export interface PrepareEvaluationResult__Output {
  'file': (_secateur_v1_FileRef__Output | null);
  'windows': (number);
  'sequenceLength': (number);
  /**
   * The file that was read, with its digest.
   */
  'input': (_secateur_v1_FileRef__Output | null);
}
