// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';
import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';

export interface EmbedInput {
  'calibration'?: (_secateur_v1_FileRef | null);
  'embedding'?: (_secateur_v1_TensorRef | null);
}

export interface EmbedInput__Output {
  'calibration': (_secateur_v1_FileRef__Output | null);
  'embedding': (_secateur_v1_TensorRef__Output | null);
}
