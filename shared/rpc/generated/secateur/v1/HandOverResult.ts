// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { SnapshotFile as _secateur_v1_SnapshotFile, SnapshotFile__Output as _secateur_v1_SnapshotFile__Output } from '../../secateur/v1/SnapshotFile.ts';

export interface HandOverResult {
  'snapshots'?: (_secateur_v1_SnapshotFile)[];
}

export interface HandOverResult__Output {
  'snapshots': (_secateur_v1_SnapshotFile__Output)[];
}
