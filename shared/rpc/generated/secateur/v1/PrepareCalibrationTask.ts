// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * Text to token windows, or given ids checked; writes calibration.safetensors into staging.
 */
export interface PrepareCalibrationTask {
  /**
   * True: calibration_files hold text. False: the only one holds input_ids.
   */
  'text'?: (boolean);
  /**
   * 0: all there are (given ids only).
   */
  'samples'?: (number);
  'sequenceLength'?: (number);
  'seed'?: (number);
  'vocabularySize'?: (number);
}

/**
 * Text to token windows, or given ids checked; writes calibration.safetensors into staging.
 */
export interface PrepareCalibrationTask__Output {
  /**
   * True: calibration_files hold text. False: the only one holds input_ids.
   */
  'text': (boolean);
  /**
   * 0: all there are (given ids only).
   */
  'samples': (number);
  'sequenceLength': (number);
  'seed': (number);
  'vocabularySize': (number);
}
