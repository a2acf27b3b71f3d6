// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';
import type { SnapshotFile as _secateur_v1_SnapshotFile, SnapshotFile__Output as _secateur_v1_SnapshotFile__Output } from '../../secateur/v1/SnapshotFile.ts';

/**
 * A snapshot is durable; said at once, so that another stage can begin with it, and once more in the task's result.
 */
export interface SnapshotWritten {
  'identity'?: (_secateur_v1_TaskIdentity | null);
  'snapshot'?: (_secateur_v1_SnapshotFile | null);
}

/**
 * A snapshot is durable; said at once, so that another stage can begin with it, and once more in the task's result.
 */
export interface SnapshotWritten__Output {
  'identity': (_secateur_v1_TaskIdentity__Output | null);
  'snapshot': (_secateur_v1_SnapshotFile__Output | null);
}
