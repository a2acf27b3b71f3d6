// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { Holding as _secateur_v1_Holding, Holding__Output as _secateur_v1_Holding__Output } from '../../secateur/v1/Holding.ts';

/**
 * Everything of this job that the engine holds now, where that changed without a task: it ended, or was ended.
 */
export interface Holdings {
  'job'?: (string);
  'why'?: (string);
  'holdings'?: (_secateur_v1_Holding)[];
}

/**
 * Everything of this job that the engine holds now, where that changed without a task: it ended, or was ended.
 */
export interface Holdings__Output {
  'job': (string);
  'why': (string);
  'holdings': (_secateur_v1_Holding__Output)[];
}
