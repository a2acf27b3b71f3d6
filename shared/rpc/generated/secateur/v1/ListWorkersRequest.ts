// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface ListWorkersRequest {
}

export interface ListWorkersRequest__Output {
}
