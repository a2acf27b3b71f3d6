// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface LogsRequest {
  'job'?: (string);
  'namespace'?: (string);
  'follow'?: (boolean);
  /**
   * Empty: every worker.
   */
  'worker'?: (string);
}

export interface LogsRequest__Output {
  'job': (string);
  'namespace': (string);
  'follow': (boolean);
  /**
   * Empty: every worker.
   */
  'worker': (string);
}
