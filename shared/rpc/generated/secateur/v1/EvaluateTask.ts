// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';
import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from '../../secateur/v1/MicrobatchRange.ts';
import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from '../../secateur/v1/TensorRef.ts';
import type { LayerRef as _secateur_v1_LayerRef, LayerRef__Output as _secateur_v1_LayerRef__Output } from '../../secateur/v1/LayerRef.ts';

/**
 * Windows of a text through the whole model, layer by layer, to the likelihoods of their tokens.
 */
export interface EvaluateTask {
  /**
   * Token ids, input_ids [windows, sequence_length].
   */
  'ids'?: (_secateur_v1_FileRef | null);
  'sequenceLength'?: (number);
  'windows'?: (_secateur_v1_MicrobatchRange)[];
  /**
   * Windows in one forward run.
   */
  'batch'?: (number);
  'embedding'?: (_secateur_v1_TensorRef | null);
  'layers'?: (_secateur_v1_LayerRef)[];
  /**
   * Final norm and lm_head.
   */
  'head'?: (_secateur_v1_TensorRef)[];
  /**
   * Of all windows of the text, whoever has them.
   */
  'tokens'?: (number);
}

/**
 * Windows of a text through the whole model, layer by layer, to the likelihoods of their tokens.
 */
export interface EvaluateTask__Output {
  /**
   * Token ids, input_ids [windows, sequence_length].
   */
  'ids': (_secateur_v1_FileRef__Output | null);
  'sequenceLength': (number);
  'windows': (_secateur_v1_MicrobatchRange__Output)[];
  /**
   * Windows in one forward run.
   */
  'batch': (number);
  'embedding': (_secateur_v1_TensorRef__Output | null);
  'layers': (_secateur_v1_LayerRef__Output)[];
  /**
   * Final norm and lm_head.
   */
  'head': (_secateur_v1_TensorRef__Output)[];
  /**
   * Of all windows of the text, whoever has them.
   */
  'tokens': (number);
}
