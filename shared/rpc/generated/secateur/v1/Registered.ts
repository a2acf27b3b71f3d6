// Original file: protos/secateur/v1/workers.proto

import type { Long } from '@grpc/proto-loader';

export interface Registered {
  'epoch'?: (number | string | Long);
  'heartbeatIntervalMs'?: (number);
  'coordinatorVersion'?: (string);
}

export interface Registered__Output {
  'epoch': (number);
  'heartbeatIntervalMs': (number);
  'coordinatorVersion': (string);
}
