// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


export interface Registered {
  'epoch'?: (number);
  'heartbeatIntervalMs'?: (number);
  'coordinatorVersion'?: (string);
  /**
   * Of the coordinator's journal: epochs of one journal can be compared.
   */
  'coordinatorId'?: (string);
}

export interface Registered__Output {
  'epoch': (number);
  'heartbeatIntervalMs': (number);
  'coordinatorVersion': (string);
  /**
   * Of the coordinator's journal: epochs of one journal can be compared.
   */
  'coordinatorId': (string);
}
