// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { TaskProgress as _secateur_v1_TaskProgress, TaskProgress__Output as _secateur_v1_TaskProgress__Output } from '../../secateur/v1/TaskProgress.ts';

export interface Heartbeat {
  'tasks'?: (_secateur_v1_TaskProgress)[];
  'residentBytes'?: (number);
  'engineResidentBytes'?: (number);
}

export interface Heartbeat__Output {
  'tasks': (_secateur_v1_TaskProgress__Output)[];
  'residentBytes': (number);
  'engineResidentBytes': (number);
}
