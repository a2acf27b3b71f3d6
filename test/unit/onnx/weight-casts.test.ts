/** Whether weights are cast once a session or in every run: by the job alone, and never where threads would show. */
import { expect, test } from 'vitest';
import type { ModelDescription } from '../../../shared/models/family.ts';
import { castsOnce, threadsMax } from '../../../shared/onnx/weight-casts.ts';

const LLAMA_7B = {
  hiddenSize: 4096,
  intermediateSize: 11008,
  headCount: 32,
  keyValueHeadCount: 32,
  headDim: 128,
} as ModelDescription;

test.each([
  ['few tokens of a wide model', LLAMA_7B, 2048, 512, false],
  ['one token more', LLAMA_7B, 2049, 512, true],
  ['a calibration of the usual size', LLAMA_7B, 128 * 2048, 2048, true],
  ['samples of one token, which another kernel computes', LLAMA_7B, 16, 1, true],
  ['grouped keys that eight threads can share', { ...LLAMA_7B, keyValueHeadCount: 8 }, 512, 512, false],
  ['grouped keys that are narrower', { ...LLAMA_7B, keyValueHeadCount: 7 }, 512, 512, true],
])('%s', (_, model, tokens, sequenceLength, expected) => {
  expect(castsOnce(model, tokens, sequenceLength)).toBe(expected);
});

test('every thread is given columns enough', () => {
  expect(threadsMax(LLAMA_7B)).toBe(32);
  expect(threadsMax({ ...LLAMA_7B, keyValueHeadCount: 8 })).toBe(8);
});
