// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


/**
 * The worker takes no new task and leaves when the running one has ended.
 */
export interface Draining {
  /**
   * True in the last message before the stream ends: whatever it held is gone.
   */
  'leaving'?: (boolean);
}

/**
 * The worker takes no new task and leaves when the running one has ended.
 */
export interface Draining__Output {
  /**
   * True in the last message before the stream ends: whatever it held is gone.
   */
  'leaving': (boolean);
}
