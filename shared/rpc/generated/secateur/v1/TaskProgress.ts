// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';

export interface TaskProgress {
  'identity'?: (_secateur_v1_TaskIdentity | null);
  /**
   * Tokens for a pass; bytes for a digest or a prune.
   */
  'done'?: (number);
  'total'?: (number);
  'unit'?: (string);
  /**
   * Since the engine last said anything while it runs this task, and after how long of that the agent ends it.
   */
  'silentMs'?: (number);
  'silentMaxMs'?: (number);
}

export interface TaskProgress__Output {
  'identity': (_secateur_v1_TaskIdentity__Output | null);
  /**
   * Tokens for a pass; bytes for a digest or a prune.
   */
  'done': (number);
  'total': (number);
  'unit': (string);
  /**
   * Since the engine last said anything while it runs this task, and after how long of that the agent ends it.
   */
  'silentMs': (number);
  'silentMaxMs': (number);
}
