// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';
import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';
import type { PassInput as _secateur_v1_PassInput, PassInput__Output as _secateur_v1_PassInput__Output } from '../../secateur/v1/PassInput.ts';
import type { StatisticSum as _secateur_v1_StatisticSum, StatisticSum__Output as _secateur_v1_StatisticSum__Output } from '../../secateur/v1/StatisticSum.ts';

/**
 * Microbatches through one decoder layer.
 */
export interface PassTask {
  'stage'?: (number);
  'layer'?: (number);
  /**
   * The layer's tensors, in the source or in its committed file.
   */
  'tensors'?: (_secateur_v1_TensorRef)[];
  'microbatches'?: (_secateur_v1_MicrobatchRange)[];
  'input'?: (_secateur_v1_PassInput | null);
  /**
   * Column sums of squares of every linear's input, per sample.
   */
  'statistics'?: (boolean);
  /**
   * The next hidden states take the place of these in the engine's memory.
   */
  'hidden'?: (boolean);
  /**
   * Of those, write to files: snapshots/<boundary>/m<microbatch>-<suffix>.safetensors, one by one as they are computed.
   */
  'write'?: (_secateur_v1_MicrobatchRange)[];
  /**
   * Of those, give up afterwards: others go on with them, or nobody.
   */
  'drop'?: (_secateur_v1_MicrobatchRange)[];
  /**
   * Of the names of files: this lease's own.
   */
  'suffix'?: (string);
  /**
   * Instead of statistics: products of the inputs' columns, for the methods that need a Hessian. One file for the whole
   * task, hessians/<layer>-<suffix>.safetensors (PassResult.hessian), normalised by these sums over all samples: one for
   * each statistic that is wanted.
   */
  'hessian'?: (boolean);
  'sums'?: (_secateur_v1_StatisticSum)[];
  /**
   * Where the layer stands that this worker is likely to go on with: it may be read ahead meanwhile.
   */
  'next'?: (_secateur_v1_TensorRef)[];
}

/**
 * Microbatches through one decoder layer.
 */
export interface PassTask__Output {
  'stage': (number);
  'layer': (number);
  /**
   * The layer's tensors, in the source or in its committed file.
   */
  'tensors': (_secateur_v1_TensorRef__Output)[];
  'microbatches': (_secateur_v1_MicrobatchRange__Output)[];
  'input': (_secateur_v1_PassInput__Output | null);
  /**
   * Column sums of squares of every linear's input, per sample.
   */
  'statistics': (boolean);
  /**
   * The next hidden states take the place of these in the engine's memory.
   */
  'hidden': (boolean);
  /**
   * Of those, write to files: snapshots/<boundary>/m<microbatch>-<suffix>.safetensors, one by one as they are computed.
   */
  'write': (_secateur_v1_MicrobatchRange__Output)[];
  /**
   * Of those, give up afterwards: others go on with them, or nobody.
   */
  'drop': (_secateur_v1_MicrobatchRange__Output)[];
  /**
   * Of the names of files: this lease's own.
   */
  'suffix': (string);
  /**
   * Instead of statistics: products of the inputs' columns, for the methods that need a Hessian. One file for the whole
   * task, hessians/<layer>-<suffix>.safetensors (PassResult.hessian), normalised by these sums over all samples: one for
   * each statistic that is wanted.
   */
  'hessian': (boolean);
  'sums': (_secateur_v1_StatisticSum__Output)[];
  /**
   * Where the layer stands that this worker is likely to go on with: it may be read ahead meanwhile.
   */
  'next': (_secateur_v1_TensorRef__Output)[];
}
