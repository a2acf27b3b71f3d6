// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';
import type { SnapshotFile as _secateur_v1_SnapshotFile, SnapshotFile__Output as _secateur_v1_SnapshotFile__Output } from '../../secateur/v1/SnapshotFile.ts';

export interface PassResult {
  'tokens'?: (number);
  'computeMs'?: (number);
  /**
   * All of the task's microbatches, or fewer where the worker was asked to stop: the rest is as it was before.
   */
  'done'?: (_secateur_v1_MicrobatchRange)[];
  'snapshots'?: (_secateur_v1_SnapshotFile)[];
  /**
   * Until the layer could run: its bytes found or fetched, cast and packed.
   */
  'loadMs'?: (number);
  /**
   * Hidden states read from files, and written to them.
   */
  'snapshotMs'?: (number);
  /**
   * Of the layer's tensors and of snapshots.
   */
  'bytesRead'?: (number);
  /**
   * The most memory that the engine has had so far.
   */
  'peakResidentBytes'?: (number);
}

export interface PassResult__Output {
  'tokens': (number);
  'computeMs': (number);
  /**
   * All of the task's microbatches, or fewer where the worker was asked to stop: the rest is as it was before.
   */
  'done': (_secateur_v1_MicrobatchRange__Output)[];
  'snapshots': (_secateur_v1_SnapshotFile__Output)[];
  /**
   * Until the layer could run: its bytes found or fetched, cast and packed.
   */
  'loadMs': (number);
  /**
   * Hidden states read from files, and written to them.
   */
  'snapshotMs': (number);
  /**
   * Of the layer's tensors and of snapshots.
   */
  'bytesRead': (number);
  /**
   * The most memory that the engine has had so far.
   */
  'peakResidentBytes': (number);
}
