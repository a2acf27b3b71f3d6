// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { SnapshotFile as _secateur_v1_SnapshotFile, SnapshotFile__Output as _secateur_v1_SnapshotFile__Output } from '../../secateur/v1/SnapshotFile.ts';

export interface SnapshotInput {
  /**
   * One for each microbatch of the task.
   */
  'files'?: (_secateur_v1_SnapshotFile)[];
}

export interface SnapshotInput__Output {
  /**
   * One for each microbatch of the task.
   */
  'files': (_secateur_v1_SnapshotFile__Output)[];
}
