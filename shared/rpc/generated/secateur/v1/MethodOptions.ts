// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * Fields of the manifest that only some methods have, defaults filled in; empty or 0 for those that have none.
 */
export interface MethodOptions {
  /**
   * "row" or "matrix".
   */
  'scope'?: (string);
  /**
   * "cumulative".
   */
  'variant'?: (string);
  'activationPower'?: (number);
  'seed'?: (number);
  'blockSize'?: (number);
  'dampingFraction'?: (number);
}

/**
 * Fields of the manifest that only some methods have, defaults filled in; empty or 0 for those that have none.
 */
export interface MethodOptions__Output {
  /**
   * "row" or "matrix".
   */
  'scope': (string);
  /**
   * "cumulative".
   */
  'variant': (string);
  'activationPower': (number);
  'seed': (number);
  'blockSize': (number);
  'dampingFraction': (number);
}
