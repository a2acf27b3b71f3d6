// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';
import type { Long } from '@grpc/proto-loader';

export interface PassResult {
  'tokens'?: (number | string | Long);
  'computeMs'?: (number | string);
  /**
   * The snapshot files written when `persist` was asked for, in sample order.
   */
  'snapshots'?: (_secateur_v1_FileRef)[];
}

export interface PassResult__Output {
  'tokens': (number);
  'computeMs': (number);
  /**
   * The snapshot files written when `persist` was asked for, in sample order.
   */
  'snapshots': (_secateur_v1_FileRef__Output)[];
}
