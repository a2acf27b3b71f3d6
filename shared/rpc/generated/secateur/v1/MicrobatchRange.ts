// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * Microbatches first, first + 1, …, end - 1. Microbatch m holds the samples from m x JobContext.microbatch on.
 */
export interface MicrobatchRange {
  'first'?: (number);
  'end'?: (number);
}

/**
 * Microbatches first, first + 1, …, end - 1. Microbatch m holds the samples from m x JobContext.microbatch on.
 */
export interface MicrobatchRange__Output {
  'first': (number);
  'end': (number);
}
