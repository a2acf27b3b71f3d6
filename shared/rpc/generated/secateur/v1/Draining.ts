// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


/**
 * The worker takes no new work and leaves when it has handed over what it holds.
 */
export interface Draining {
  /**
   * True in the last message before the stream ends: whatever it held is gone.
   */
  'leaving'?: (boolean);
}

/**
 * The worker takes no new work and leaves when it has handed over what it holds.
 */
export interface Draining__Output {
  /**
   * True in the last message before the stream ends: whatever it held is gone.
   */
  'leaving': (boolean);
}
