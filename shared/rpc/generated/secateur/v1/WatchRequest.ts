// Original file: protos/secateur/v1/jobs.proto

import type { Long } from '@grpc/proto-loader';

export interface WatchRequest {
  'job'?: (string);
  'namespace'?: (string);
  'afterSequence'?: (number | string | Long);
}

export interface WatchRequest__Output {
  'job': (string);
  'namespace': (string);
  'afterSequence': (number);
}
