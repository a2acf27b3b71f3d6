// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { EmbedInput as _secateur_v1_EmbedInput, EmbedInput__Output as _secateur_v1_EmbedInput__Output } from '../../secateur/v1/EmbedInput.ts';
import type { SnapshotInput as _secateur_v1_SnapshotInput, SnapshotInput__Output as _secateur_v1_SnapshotInput__Output } from '../../secateur/v1/SnapshotInput.ts';

export interface PassInput {
  /**
   * Already in the engine's memory at this layer's boundary.
   */
  'memory'?: (boolean);
  /**
   * Token ids, embedded.
   */
  'embed'?: (_secateur_v1_EmbedInput | null);
  /**
   * Hidden states that were written to files.
   */
  'snapshot'?: (_secateur_v1_SnapshotInput | null);
  'from'?: "memory"|"embed"|"snapshot";
}

export interface PassInput__Output {
  /**
   * Already in the engine's memory at this layer's boundary.
   */
  'memory'?: (boolean);
  /**
   * Token ids, embedded.
   */
  'embed'?: (_secateur_v1_EmbedInput__Output | null);
  /**
   * Hidden states that were written to files.
   */
  'snapshot'?: (_secateur_v1_SnapshotInput__Output | null);
  'from'?: "memory"|"embed"|"snapshot";
}
