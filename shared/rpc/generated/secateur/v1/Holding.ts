// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


/**
 * Hidden states in an engine's memory: all samples of a stage at one layer boundary.
 */
export interface Holding {
  'job'?: (string);
  'stage'?: (number);
  'boundary'?: (number);
}

/**
 * Hidden states in an engine's memory: all samples of a stage at one layer boundary.
 */
export interface Holding__Output {
  'job': (string);
  'stage': (number);
  'boundary': (number);
}
