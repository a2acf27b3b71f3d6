// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';

export interface EvaluateResult {
  /**
   * All of the task's windows; none where the worker was asked to leave.
   */
  'done'?: (_secateur_v1_MicrobatchRange)[];
  /**
   * For each of them, in their order: the negative log likelihood of its tokens behind the first, added up.
   */
  'nll'?: (number)[];
  'tokens'?: (number);
  'computeMs'?: (number);
}

export interface EvaluateResult__Output {
  /**
   * All of the task's windows; none where the worker was asked to leave.
   */
  'done': (_secateur_v1_MicrobatchRange__Output)[];
  /**
   * For each of them, in their order: the negative log likelihood of its tokens behind the first, added up.
   */
  'nll': (number)[];
  'tokens': (number);
  'computeMs': (number);
}
