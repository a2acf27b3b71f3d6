// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface LogsResponse {
  'worker'?: (string);
  'source'?: (string);
  'level'?: (string);
  'atMs'?: (number);
  'task'?: (string);
  'message'?: (string);
}

export interface LogsResponse__Output {
  'worker': (string);
  'source': (string);
  'level': (string);
  'atMs': (number);
  'task': (string);
  'message': (string);
}
