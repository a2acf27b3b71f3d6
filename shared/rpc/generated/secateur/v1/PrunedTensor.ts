// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


export interface PrunedTensor {
  'name'?: (string);
  'elements'?: (number);
  'zeros'?: (number);
  'pruned'?: (boolean);
}

export interface PrunedTensor__Output {
  'name': (string);
  'elements': (number);
  'zeros': (number);
  'pruned': (boolean);
}
