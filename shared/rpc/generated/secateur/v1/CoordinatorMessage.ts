// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { Registered as _secateur_v1_Registered, Registered__Output as _secateur_v1_Registered__Output } from '../../secateur/v1/Registered.ts';
import type { Task as _secateur_v1_Task, Task__Output as _secateur_v1_Task__Output } from '../../secateur/v1/Task.ts';
import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';
import type { ReleaseJob as _secateur_v1_ReleaseJob, ReleaseJob__Output as _secateur_v1_ReleaseJob__Output } from '../../secateur/v1/ReleaseJob.ts';
import type { Dismiss as _secateur_v1_Dismiss, Dismiss__Output as _secateur_v1_Dismiss__Output } from '../../secateur/v1/Dismiss.ts';
import type { LogsWritten as _secateur_v1_LogsWritten, LogsWritten__Output as _secateur_v1_LogsWritten__Output } from '../../secateur/v1/LogsWritten.ts';

export interface CoordinatorMessage {
  'registered'?: (_secateur_v1_Registered | null);
  'assign'?: (_secateur_v1_Task | null);
  'abort'?: (_secateur_v1_TaskIdentity | null);
  'acknowledge'?: (_secateur_v1_TaskIdentity | null);
  'release'?: (_secateur_v1_ReleaseJob | null);
  'dismiss'?: (_secateur_v1_Dismiss | null);
  'logsWritten'?: (_secateur_v1_LogsWritten | null);
  /**
   * A worker takes no message of an epoch before the newest that it has seen of the same coordinator.
   */
  'epoch'?: (number);
  'message'?: "registered"|"assign"|"abort"|"acknowledge"|"release"|"dismiss"|"logsWritten";
}

export interface CoordinatorMessage__Output {
  'registered'?: (_secateur_v1_Registered__Output | null);
  'assign'?: (_secateur_v1_Task__Output | null);
  'abort'?: (_secateur_v1_TaskIdentity__Output | null);
  'acknowledge'?: (_secateur_v1_TaskIdentity__Output | null);
  'release'?: (_secateur_v1_ReleaseJob__Output | null);
  'dismiss'?: (_secateur_v1_Dismiss__Output | null);
  'logsWritten'?: (_secateur_v1_LogsWritten__Output | null);
  /**
   * A worker takes no message of an epoch before the newest that it has seen of the same coordinator.
   */
  'epoch': (number);
  'message'?: "registered"|"assign"|"abort"|"acknowledge"|"release"|"dismiss"|"logsWritten";
}
