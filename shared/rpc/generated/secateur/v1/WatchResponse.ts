// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type { Progress as _secateur_v1_Progress, Progress__Output as _secateur_v1_Progress__Output } from '../../secateur/v1/Progress.ts';
import type { JobStatus as _secateur_v1_JobStatus, JobStatus__Output as _secateur_v1_JobStatus__Output } from '../../secateur/v1/JobStatus.ts';

export interface WatchResponse {
  /**
   * A CloudEvent in structured JSON, the same bytes as over NATS.
   */
  'eventJson'?: (string);
  /**
   * Not part of the sequence; may be left out under load.
   */
  'progress'?: (_secateur_v1_Progress | null);
  /**
   * Where the job is and why, when that has changed and stayed for a moment; the first thing that a watcher hears.
   */
  'status'?: (_secateur_v1_JobStatus | null);
  'message'?: "eventJson"|"progress"|"status";
}

export interface WatchResponse__Output {
  /**
   * A CloudEvent in structured JSON, the same bytes as over NATS.
   */
  'eventJson'?: (string);
  /**
   * Not part of the sequence; may be left out under load.
   */
  'progress'?: (_secateur_v1_Progress__Output | null);
  /**
   * Where the job is and why, when that has changed and stayed for a moment; the first thing that a watcher hears.
   */
  'status'?: (_secateur_v1_JobStatus__Output | null);
  'message'?: "eventJson"|"progress"|"status";
}
