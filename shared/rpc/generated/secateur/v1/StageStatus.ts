// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface StageStatus {
  'stage'?: (number);
  'firstLayer'?: (number);
  'layerCount'?: (number);
  'committed'?: (number);
  'worker'?: (string);
  'activity'?: (string);
}

export interface StageStatus__Output {
  'stage': (number);
  'firstLayer': (number);
  'layerCount': (number);
  'committed': (number);
  'worker': (string);
  'activity': (string);
}
