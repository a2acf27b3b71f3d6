// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';
import type { LinearInput as _secateur_v1_LinearInput, LinearInput__Output as _secateur_v1_LinearInput__Output } from '../../secateur/v1/LinearInput.ts';
import type { StatisticSum as _secateur_v1_StatisticSum, StatisticSum__Output as _secateur_v1_StatisticSum__Output } from '../../secateur/v1/StatisticSum.ts';

/**
 * How many weights of a layer stand out (|w| times the norm of its input column), over some of its linears.
 */
export interface CountOutliersTask {
  'layer'?: (number);
  /**
   * The tensors of these linears, in their order.
   */
  'tensors'?: (_secateur_v1_TensorRef)[];
  'linears'?: (_secateur_v1_LinearInput)[];
  'statistics'?: (_secateur_v1_StatisticSum)[];
  'samples'?: (number);
  /**
   * An outlier is above so many times the mean.
   */
  'threshold'?: (number);
}

/**
 * How many weights of a layer stand out (|w| times the norm of its input column), over some of its linears.
 */
export interface CountOutliersTask__Output {
  'layer': (number);
  /**
   * The tensors of these linears, in their order.
   */
  'tensors': (_secateur_v1_TensorRef__Output)[];
  'linears': (_secateur_v1_LinearInput__Output)[];
  'statistics': (_secateur_v1_StatisticSum__Output)[];
  'samples': (number);
  /**
   * An outlier is above so many times the mean.
   */
  'threshold': (number);
}
