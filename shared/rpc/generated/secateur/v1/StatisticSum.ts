// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * Σ over all tokens of x², one value an input column, float64 little-endian.
 */
export interface StatisticSum {
  'statistic'?: (string);
  'float64'?: (Uint8Array);
}

/**
 * Σ over all tokens of x², one value an input column, float64 little-endian.
 */
export interface StatisticSum__Output {
  'statistic': (string);
  'float64': (Buffer);
}
