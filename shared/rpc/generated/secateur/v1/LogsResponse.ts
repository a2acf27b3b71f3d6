// Original file: protos/secateur/v1/jobs.proto

import type { Long } from '@grpc/proto-loader';

export interface LogsResponse {
  'worker'?: (string);
  'source'?: (string);
  'level'?: (string);
  'atMs'?: (number | string | Long);
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
