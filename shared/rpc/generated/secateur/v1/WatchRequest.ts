// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface WatchRequest {
  'job'?: (string);
  'namespace'?: (string);
  'afterSequence'?: (number);
}

export interface WatchRequest__Output {
  'job': (string);
  'namespace': (string);
  'afterSequence': (number);
}
