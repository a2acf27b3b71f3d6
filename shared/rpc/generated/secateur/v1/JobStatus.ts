// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface JobStatus {
  'phase'?: (string);
  'reason'?: (string);
  /**
   * What is needed, what is there, in words.
   */
  'message'?: (string);
  'sinceMs'?: (number);
}

export interface JobStatus__Output {
  'phase': (string);
  'reason': (string);
  /**
   * What is needed, what is there, in words.
   */
  'message': (string);
  'sinceMs': (number);
}
