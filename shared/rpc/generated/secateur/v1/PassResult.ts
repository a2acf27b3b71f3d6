// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

export interface PassResult {
  'tokens'?: (number);
  'computeMs'?: (number);
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
