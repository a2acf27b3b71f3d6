// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';

/**
 * Write hidden states of the engine's memory to files and give them up: the worker is about to leave.
 */
export interface HandOverTask {
  'boundary'?: (number);
  'microbatches'?: (_secateur_v1_MicrobatchRange)[];
  'suffix'?: (string);
}

/**
 * Write hidden states of the engine's memory to files and give them up: the worker is about to leave.
 */
export interface HandOverTask__Output {
  'boundary': (number);
  'microbatches': (_secateur_v1_MicrobatchRange__Output)[];
  'suffix': (string);
}
