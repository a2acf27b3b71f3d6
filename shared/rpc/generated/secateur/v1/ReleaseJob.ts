// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


export interface ReleaseJob {
  'job'?: (string);
}

export interface ReleaseJob__Output {
  'job': (string);
}
