// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * Which lease of which task this is about. A message whose identity is not the one leased is ignored.
 */
export interface TaskIdentity {
  'job'?: (string);
  'task'?: (string);
  /**
   * Numbers every lease of the job: no two leases share it.
   */
  'attempt'?: (number);
  'epoch'?: (number);
}

/**
 * Which lease of which task this is about. A message whose identity is not the one leased is ignored.
 */
export interface TaskIdentity__Output {
  'job': (string);
  'task': (string);
  /**
   * Numbers every lease of the job: no two leases share it.
   */
  'attempt': (number);
  'epoch': (number);
}
