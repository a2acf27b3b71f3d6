// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface JobRequest {
  /**
   * A job's id, or a name (then the latest job of that name).
   */
  'job'?: (string);
  'namespace'?: (string);
}

export interface JobRequest__Output {
  /**
   * A job's id, or a name (then the latest job of that name).
   */
  'job': (string);
  'namespace': (string);
}
