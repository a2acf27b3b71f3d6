// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface PlanRequest {
  'manifestJson'?: (string);
}

export interface PlanRequest__Output {
  'manifestJson': (string);
}
