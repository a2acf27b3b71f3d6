// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';

/**
 * A decoder layer's tensors, in the source or in its committed file.
 */
export interface LayerRef {
  'tensors'?: (_secateur_v1_TensorRef)[];
}

/**
 * A decoder layer's tensors, in the source or in its committed file.
 */
export interface LayerRef__Output {
  'tensors': (_secateur_v1_TensorRef__Output)[];
}
