// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


export interface HoldingsLost {
  'job'?: (string);
  'why'?: (string);
}

export interface HoldingsLost__Output {
  'job': (string);
  'why': (string);
}
