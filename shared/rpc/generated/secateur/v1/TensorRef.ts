// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A tensor's bytes: a contiguous range of one safetensors file.
 */
export interface TensorRef {
  'name'?: (string);
  'dtype'?: (string);
  'shape'?: (number | string | Long)[];
  'file'?: (_secateur_v1_FileRef | null);
  'offset'?: (number | string | Long);
  'sizeBytes'?: (number | string | Long);
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
