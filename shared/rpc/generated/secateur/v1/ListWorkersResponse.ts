// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type { WorkerStatus as _secateur_v1_WorkerStatus, WorkerStatus__Output as _secateur_v1_WorkerStatus__Output } from '../../secateur/v1/WorkerStatus.ts';

export interface ListWorkersResponse {
  'workers'?: (_secateur_v1_WorkerStatus)[];
}

export interface ListWorkersResponse__Output {
  'workers': (_secateur_v1_WorkerStatus__Output)[];
}
