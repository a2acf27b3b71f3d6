// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface JobFailure {
  'code'?: (string);
  'message'?: (string);
  'detailsJson'?: (string);
}

export interface JobFailure__Output {
  'code': (string);
  'message': (string);
  'detailsJson': (string);
}
