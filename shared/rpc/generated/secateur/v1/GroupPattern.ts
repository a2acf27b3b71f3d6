// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


export interface GroupPattern {
  'keep'?: (number);
  'group'?: (number);
}

export interface GroupPattern__Output {
  'keep': (number);
  'group': (number);
}
