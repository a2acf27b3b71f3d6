// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


export interface TaskError {
  'code'?: (string);
  'message'?: (string);
  'retryable'?: (boolean);
  'detailsJson'?: (string);
}

export interface TaskError__Output {
  'code': (string);
  'message': (string);
  'retryable': (boolean);
  'detailsJson': (string);
}
