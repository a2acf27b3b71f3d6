// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';
import type { LinearSelection as _secateur_v1_LinearSelection, LinearSelection__Output as _secateur_v1_LinearSelection__Output } from '../../secateur/v1/LinearSelection.ts';
import type { StatisticSum as _secateur_v1_StatisticSum, StatisticSum__Output as _secateur_v1_StatisticSum__Output } from '../../secateur/v1/StatisticSum.ts';
import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';
import type { MethodOptions as _secateur_v1_MethodOptions, MethodOptions__Output as _secateur_v1_MethodOptions__Output } from '../../secateur/v1/MethodOptions.ts';

/**
 * Choose and zero the weights of one layer; commit its file.
 */
export interface PruneTask {
  'layer'?: (number);
  'tensors'?: (_secateur_v1_TensorRef)[];
  'method'?: (string);
  'linears'?: (_secateur_v1_LinearSelection)[];
  'statistics'?: (_secateur_v1_StatisticSum)[];
  'samples'?: (number);
  'output'?: (_secateur_v1_FileRef | null);
  'options'?: (_secateur_v1_MethodOptions | null);
  /**
   * Files that passes with `hessian` made: added up they cover every sample once.
   */
  'hessians'?: (_secateur_v1_FileRef)[];
}

/**
 * Choose and zero the weights of one layer; commit its file.
 */
export interface PruneTask__Output {
  'layer': (number);
  'tensors': (_secateur_v1_TensorRef__Output)[];
  'method': (string);
  'linears': (_secateur_v1_LinearSelection__Output)[];
  'statistics': (_secateur_v1_StatisticSum__Output)[];
  'samples': (number);
  'output': (_secateur_v1_FileRef__Output | null);
  'options': (_secateur_v1_MethodOptions__Output | null);
  /**
   * Files that passes with `hessian` made: added up they cover every sample once.
   */
  'hessians': (_secateur_v1_FileRef__Output)[];
}
