// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface SubmitRequest {
  /**
   * The manifest as JSON, every location absolute.
   */
  'manifestJson'?: (string);
}

export interface SubmitRequest__Output {
  /**
   * The manifest as JSON, every location absolute.
   */
  'manifestJson': (string);
}
