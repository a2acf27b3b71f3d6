// Original file: protos/secateur/v1/workers.proto

import type { Long } from '@grpc/proto-loader';

export interface LogLine {
  'job'?: (string);
  'task'?: (string);
  /**
   * "agent" or "engine".
   */
  'source'?: (string);
  'level'?: (string);
  'atMs'?: (number | string | Long);
  'message'?: (string);
}

export interface LogLine__Output {
  'job': (string);
  'task': (string);
  /**
   * "agent" or "engine".
   */
  'source': (string);
  'level': (string);
  'atMs': (number);
  'message': (string);
}
