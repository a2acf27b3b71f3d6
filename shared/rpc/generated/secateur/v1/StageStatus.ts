// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type { ReplicaStatus as _secateur_v1_ReplicaStatus, ReplicaStatus__Output as _secateur_v1_ReplicaStatus__Output } from '../../secateur/v1/ReplicaStatus.ts';

export interface StageStatus {
  'stage'?: (number);
  'firstLayer'?: (number);
  'layerCount'?: (number);
  'committed'?: (number);
  /**
   * The workers that split its microbatches.
   */
  'replicas'?: (_secateur_v1_ReplicaStatus)[];
}

export interface StageStatus__Output {
  'stage': (number);
  'firstLayer': (number);
  'layerCount': (number);
  'committed': (number);
  /**
   * The workers that split its microbatches.
   */
  'replicas': (_secateur_v1_ReplicaStatus__Output)[];
}
