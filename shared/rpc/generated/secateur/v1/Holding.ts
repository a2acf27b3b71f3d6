// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';

/**
 * Hidden states in an engine's memory: these microbatches at one layer boundary.
 */
export interface Holding {
  'job'?: (string);
  'boundary'?: (number);
  'microbatches'?: (_secateur_v1_MicrobatchRange)[];
}

/**
 * Hidden states in an engine's memory: these microbatches at one layer boundary.
 */
export interface Holding__Output {
  'job': (string);
  'boundary': (number);
  'microbatches': (_secateur_v1_MicrobatchRange__Output)[];
}
