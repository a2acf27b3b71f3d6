// Original file: protos/secateur/v1/common.proto

import type { Long } from '@grpc/proto-loader';

export interface PrunedTensor {
  'name'?: (string);
  'elements'?: (number | string | Long);
  'zeros'?: (number | string | Long);
  'pruned'?: (boolean);
}

export interface PrunedTensor__Output {
  'name': (string);
  'elements': (number);
  'zeros': (number);
  'pruned': (boolean);
}
