// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

/**
 * A text to consecutive token windows, or given ids checked; writes evaluation/<text>.safetensors into staging.
 */
export interface PrepareEvaluationTask {
  /**
   * True: the file holds text. False: it holds input_ids.
   */
  'text'?: (boolean);
  /**
   * At most so many windows, from the beginning; 0: all there are.
   */
  'windows'?: (number);
  /**
   * Of a text; given ids have their own.
   */
  'sequenceLength'?: (number);
  'vocabularySize'?: (number);
  /**
   * Root evaluation.
   */
  'file'?: (_secateur_v1_FileRef | null);
  'output'?: (_secateur_v1_FileRef | null);
}

/**
 * A text to consecutive token windows, or given ids checked; writes evaluation/<text>.safetensors into staging.
 */
export interface PrepareEvaluationTask__Output {
  /**
   * True: the file holds text. False: it holds input_ids.
   */
  'text': (boolean);
  /**
   * At most so many windows, from the beginning; 0: all there are.
   */
  'windows': (number);
  /**
   * Of a text; given ids have their own.
   */
  'sequenceLength': (number);
  'vocabularySize': (number);
  /**
   * Root evaluation.
   */
  'file': (_secateur_v1_FileRef__Output | null);
  'output': (_secateur_v1_FileRef__Output | null);
}
