// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface ReplicaStatus {
  'worker'?: (string);
  /**
   * How many, and which: "0-15".
   */
  'microbatchCount'?: (number);
  'microbatches'?: (string);
  /**
   * The task that it runs now; empty while it waits.
   */
  'activity'?: (string);
  /**
   * As measured; 0 before its first pass.
   */
  'tokensPerSecond'?: (number);
}

export interface ReplicaStatus__Output {
  'worker': (string);
  /**
   * How many, and which: "0-15".
   */
  'microbatchCount': (number);
  'microbatches': (string);
  /**
   * The task that it runs now; empty while it waits.
   */
  'activity': (string);
  /**
   * As measured; 0 before its first pass.
   */
  'tokensPerSecond': (number);
}
