// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';

/**
 * One sample's column sums of squares in one layer. Sent before the task's result, sent again after a reconnect
 * until the result is acknowledged.
 */
export interface SampleStatistics {
  'identity'?: (_secateur_v1_TaskIdentity | null);
  'layer'?: (number);
  'sample'?: (number);
  /**
   * The layer's statistics one after the other in the order of the model's description, float32 little-endian.
   */
  'float32'?: (Uint8Array);
}

/**
 * One sample's column sums of squares in one layer. Sent before the task's result, sent again after a reconnect
 * until the result is acknowledged.
 */
export interface SampleStatistics__Output {
  'identity': (_secateur_v1_TaskIdentity__Output | null);
  'layer': (number);
  'sample': (number);
  /**
   * The layer's statistics one after the other in the order of the model's description, float32 little-endian.
   */
  'float32': (Buffer);
}
