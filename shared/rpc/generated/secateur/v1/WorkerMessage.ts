// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { Register as _secateur_v1_Register, Register__Output as _secateur_v1_Register__Output } from '../../secateur/v1/Register.ts';
import type { Heartbeat as _secateur_v1_Heartbeat, Heartbeat__Output as _secateur_v1_Heartbeat__Output } from '../../secateur/v1/Heartbeat.ts';
import type { SampleStatistics as _secateur_v1_SampleStatistics, SampleStatistics__Output as _secateur_v1_SampleStatistics__Output } from '../../secateur/v1/SampleStatistics.ts';
import type { TaskResult as _secateur_v1_TaskResult, TaskResult__Output as _secateur_v1_TaskResult__Output } from '../../secateur/v1/TaskResult.ts';
import type { LogBatch as _secateur_v1_LogBatch, LogBatch__Output as _secateur_v1_LogBatch__Output } from '../../secateur/v1/LogBatch.ts';
import type { Draining as _secateur_v1_Draining, Draining__Output as _secateur_v1_Draining__Output } from '../../secateur/v1/Draining.ts';
import type { Holdings as _secateur_v1_Holdings, Holdings__Output as _secateur_v1_Holdings__Output } from '../../secateur/v1/Holdings.ts';
import type { SnapshotWritten as _secateur_v1_SnapshotWritten, SnapshotWritten__Output as _secateur_v1_SnapshotWritten__Output } from '../../secateur/v1/SnapshotWritten.ts';

export interface WorkerMessage {
  'register'?: (_secateur_v1_Register | null);
  'heartbeat'?: (_secateur_v1_Heartbeat | null);
  'statistics'?: (_secateur_v1_SampleStatistics | null);
  'result'?: (_secateur_v1_TaskResult | null);
  'logs'?: (_secateur_v1_LogBatch | null);
  'draining'?: (_secateur_v1_Draining | null);
  'holdings'?: (_secateur_v1_Holdings | null);
  'snapshot'?: (_secateur_v1_SnapshotWritten | null);
  /**
   * Of the coordinator that this stream was registered with; 0 in Register. Another epoch's message is refused.
   */
  'epoch'?: (number);
  'message'?: "register"|"heartbeat"|"statistics"|"result"|"logs"|"draining"|"holdings"|"snapshot";
}

export interface WorkerMessage__Output {
  'register'?: (_secateur_v1_Register__Output | null);
  'heartbeat'?: (_secateur_v1_Heartbeat__Output | null);
  'statistics'?: (_secateur_v1_SampleStatistics__Output | null);
  'result'?: (_secateur_v1_TaskResult__Output | null);
  'logs'?: (_secateur_v1_LogBatch__Output | null);
  'draining'?: (_secateur_v1_Draining__Output | null);
  'holdings'?: (_secateur_v1_Holdings__Output | null);
  'snapshot'?: (_secateur_v1_SnapshotWritten__Output | null);
  /**
   * Of the coordinator that this stream was registered with; 0 in Register. Another epoch's message is refused.
   */
  'epoch': (number);
  'message'?: "register"|"heartbeat"|"statistics"|"result"|"logs"|"draining"|"holdings"|"snapshot";
}
