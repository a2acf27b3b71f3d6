// Original file: protos/secateur/v1/workers.proto

import type { TaskProgress as _secateur_v1_TaskProgress, TaskProgress__Output as _secateur_v1_TaskProgress__Output } from '../../secateur/v1/TaskProgress.ts';
import type { Long } from '@grpc/proto-loader';

export interface Heartbeat {
  'tasks'?: (_secateur_v1_TaskProgress)[];
  'residentBytes'?: (number | string | Long);
  'engineResidentBytes'?: (number | string | Long);
}

export interface Heartbeat__Output {
  'tasks': (_secateur_v1_TaskProgress__Output)[];
  'residentBytes': (number);
  'engineResidentBytes': (number);
}
