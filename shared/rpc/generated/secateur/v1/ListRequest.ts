// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface ListRequest {
  /**
   * Empty: all.
   */
  'namespace'?: (string);
}

export interface ListRequest__Output {
  /**
   * Empty: all.
   */
  'namespace': (string);
}
