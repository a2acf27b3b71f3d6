// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

/**
 * A tensor's bytes: a contiguous range of one safetensors file.
 */
export interface TensorRef {
  'name'?: (string);
  'dtype'?: (string);
  'shape'?: (number)[];
  'file'?: (_secateur_v1_FileRef | null);
  'offset'?: (number);
  'sizeBytes'?: (number);
}

/**
 * A tensor's bytes: a contiguous range of one safetensors file.
 */
export interface TensorRef__Output {
  'name': (string);
  'dtype': (string);
  'shape': (number)[];
  'file': (_secateur_v1_FileRef__Output | null);
  'offset': (number);
  'sizeBytes': (number);
}
