// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';
import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';
import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';
import type { LayerRef as _secateur_v1_LayerRef, LayerRef__Output as _secateur_v1_LayerRef__Output } from '../../secateur/v1/LayerRef.ts';

/**
 * Calibration samples through the model: what pruning changed in the output of every linear.
 */
export interface MeasureErrorTask {
  /**
   * Token ids, input_ids [samples, sequence_length].
   */
  'ids'?: (_secateur_v1_FileRef | null);
  'sequenceLength'?: (number);
  'windows'?: (_secateur_v1_MicrobatchRange)[];
  'embedding'?: (_secateur_v1_TensorRef | null);
  'source'?: (_secateur_v1_LayerRef)[];
  'committed'?: (_secateur_v1_LayerRef)[];
  /**
   * Whether a layer's input comes through the committed layers before it, or through those of the source.
   */
  'propagatePruned'?: (boolean);
}

/**
 * Calibration samples through the model: what pruning changed in the output of every linear.
 */
export interface MeasureErrorTask__Output {
  /**
   * Token ids, input_ids [samples, sequence_length].
   */
  'ids': (_secateur_v1_FileRef__Output | null);
  'sequenceLength': (number);
  'windows': (_secateur_v1_MicrobatchRange__Output)[];
  'embedding': (_secateur_v1_TensorRef__Output | null);
  'source': (_secateur_v1_LayerRef__Output)[];
  'committed': (_secateur_v1_LayerRef__Output)[];
  /**
   * Whether a layer's input comes through the committed layers before it, or through those of the source.
   */
  'propagatePruned': (boolean);
}
