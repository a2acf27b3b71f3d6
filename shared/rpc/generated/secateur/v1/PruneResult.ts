// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';
import type { PrunedTensor as _secateur_v1_PrunedTensor, PrunedTensor__Output as _secateur_v1_PrunedTensor__Output } from '../../secateur/v1/PrunedTensor.ts';
import type { DampingRaise as _secateur_v1_DampingRaise, DampingRaise__Output as _secateur_v1_DampingRaise__Output } from '../../secateur/v1/DampingRaise.ts';

export interface PruneResult {
  'file'?: (_secateur_v1_FileRef | null);
  'tensors'?: (_secateur_v1_PrunedTensor)[];
  'pruneMs'?: (number);
  'commitMs'?: (number);
  'dampingRaises'?: (_secateur_v1_DampingRaise)[];
}

export interface PruneResult__Output {
  'file': (_secateur_v1_FileRef__Output | null);
  'tensors': (_secateur_v1_PrunedTensor__Output)[];
  'pruneMs': (number);
  'commitMs': (number);
  'dampingRaises': (_secateur_v1_DampingRaise__Output)[];
}
