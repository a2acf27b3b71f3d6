// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type { Progress as _secateur_v1_Progress, Progress__Output as _secateur_v1_Progress__Output } from '../../secateur/v1/Progress.ts';

export interface WatchResponse {
  /**
   * A CloudEvent in structured JSON, the same bytes as over NATS.
   */
  'eventJson'?: (string);
  /**
   * Not part of the sequence; may be left out under load.
   */
  'progress'?: (_secateur_v1_Progress | null);
  'message'?: "eventJson"|"progress";
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
  'message'?: "eventJson"|"progress";
}
