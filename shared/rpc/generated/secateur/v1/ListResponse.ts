// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type { Job as _secateur_v1_Job, Job__Output as _secateur_v1_Job__Output } from '../../secateur/v1/Job.ts';

export interface ListResponse {
  'jobs'?: (_secateur_v1_Job)[];
}

export interface ListResponse__Output {
  'jobs': (_secateur_v1_Job__Output)[];
}
