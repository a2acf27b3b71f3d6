// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * Which statistic is of a linear's input.
 */
export interface LinearInput {
  'tensor'?: (string);
  'statistic'?: (string);
}

/**
 * Which statistic is of a linear's input.
 */
export interface LinearInput__Output {
  'tensor': (string);
  'statistic': (string);
}
