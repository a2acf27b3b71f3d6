// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';

export interface MeasureErrorResult {
  /**
   * All of the task's samples; none where the worker was asked to leave.
   */
  'done'?: (_secateur_v1_MicrobatchRange)[];
  /**
   * For each of them, each layer, each linear in the order of the model: the sums of squares, over tokens and output
   * features, of what pruning changed (W x - W' x) and of what it was (W x).
   */
  'error'?: (number)[];
  'output'?: (number)[];
  'computeMs'?: (number);
}

export interface MeasureErrorResult__Output {
  /**
   * All of the task's samples; none where the worker was asked to leave.
   */
  'done': (_secateur_v1_MicrobatchRange__Output)[];
  /**
   * For each of them, each layer, each linear in the order of the model: the sums of squares, over tokens and output
   * features, of what pruning changed (W x - W' x) and of what it was (W x).
   */
  'error': (number)[];
  'output': (number)[];
  'computeMs': (number);
}
