// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';
import type { PassInput as _secateur_v1_PassInput, PassInput__Output as _secateur_v1_PassInput__Output } from '../../secateur/v1/PassInput.ts';

/**
 * Every sample of the task through one decoder layer.
 */
export interface PassTask {
  'stage'?: (number);
  'layer'?: (number);
  /**
   * The layer's tensors, in the source or in its committed file.
   */
  'tensors'?: (_secateur_v1_TensorRef)[];
  'firstSample'?: (number);
  'sampleCount'?: (number);
  'input'?: (_secateur_v1_PassInput | null);
  /**
   * Column sums of squares of every linear's input, per sample.
   */
  'statistics'?: (boolean);
  /**
   * The next hidden states, kept in the engine's memory.
   */
  'hidden'?: (boolean);
  /**
   * Write the next hidden states to snapshots/ as well (a stage boundary) and drop them from memory.
   */
  'persist'?: (boolean);
}

/**
 * Every sample of the task through one decoder layer.
 */
export interface PassTask__Output {
  'stage': (number);
  'layer': (number);
  /**
   * The layer's tensors, in the source or in its committed file.
   */
  'tensors': (_secateur_v1_TensorRef__Output)[];
  'firstSample': (number);
  'sampleCount': (number);
  'input': (_secateur_v1_PassInput__Output | null);
  /**
   * Column sums of squares of every linear's input, per sample.
   */
  'statistics': (boolean);
  /**
   * The next hidden states, kept in the engine's memory.
   */
  'hidden': (boolean);
  /**
   * Write the next hidden states to snapshots/ as well (a stage boundary) and drop them from memory.
   */
  'persist': (boolean);
}
