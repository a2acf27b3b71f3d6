// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

/**
 * Text to token windows, or given ids checked; writes calibration.safetensors into staging.
 */
export interface PrepareCalibrationTask {
  /**
   * True: the files hold text. False: the only one holds input_ids.
   */
  'text'?: (boolean);
  /**
   * 0: all there are (given ids only).
   */
  'samples'?: (number);
  'sequenceLength'?: (number);
  'seed'?: (number);
  'vocabularySize'?: (number);
  /**
   * Root calibration, in the order of the manifest.
   */
  'files'?: (_secateur_v1_FileRef)[];
  'output'?: (_secateur_v1_FileRef | null);
}

/**
 * Text to token windows, or given ids checked; writes calibration.safetensors into staging.
 */
export interface PrepareCalibrationTask__Output {
  /**
   * True: the files hold text. False: the only one holds input_ids.
   */
  'text': (boolean);
  /**
   * 0: all there are (given ids only).
   */
  'samples': (number);
  'sequenceLength': (number);
  'seed': (number);
  'vocabularySize': (number);
  /**
   * Root calibration, in the order of the manifest.
   */
  'files': (_secateur_v1_FileRef__Output)[];
  'output': (_secateur_v1_FileRef__Output | null);
}
