// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


export interface Registered {
  'epoch'?: (number);
  'heartbeatIntervalMs'?: (number);
  'coordinatorVersion'?: (string);
}

export interface Registered__Output {
  'epoch': (number);
  'heartbeatIntervalMs': (number);
  'coordinatorVersion': (string);
}
