// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


export interface CountOutliersResult {
  'outliers'?: (number);
  'weights'?: (number);
  'computeMs'?: (number);
}

export interface CountOutliersResult__Output {
  'outliers': (number);
  'weights': (number);
  'computeMs': (number);
}
