// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type { Job as _secateur_v1_Job, Job__Output as _secateur_v1_Job__Output } from '../../secateur/v1/Job.ts';

export interface ListResponse {
  /**
   * In the order of submission, the newest last; without manifest_json and plan_json, which Get has.
   */
  'jobs'?: (_secateur_v1_Job)[];
  /**
   * Older jobs that are not among them: a response has a size.
   */
  'leftOut'?: (number);
}

export interface ListResponse__Output {
  /**
   * In the order of submission, the newest last; without manifest_json and plan_json, which Get has.
   */
  'jobs': (_secateur_v1_Job__Output)[];
  /**
   * Older jobs that are not among them: a response has a size.
   */
  'leftOut': (number);
}
