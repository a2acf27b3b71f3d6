/** Token ids against those of Hugging Face's own tokenizer on the same `tokenizer.json` (fixtures/README.md). */

import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { loadTokenizer } from '../../worker/calibration/tokenizer.ts';

const MICRO_LLAMA = join(import.meta.dirname, '../../examples/micro-llama/model');
const MICRO_VOCABULARY_SIZE = 512;
const CHECK = join(import.meta.dirname, './fixtures/micro/tokenizer_check.json');

const SHARED = join(import.meta.dirname, '../../../shared');
const TINY_LLAMA = `${SHARED}/models/tiny-llama`;
const TINY_WINDOWS = `${SHARED}/golden/tiny/calibration.safetensors`;
const CORPUS = `${SHARED}/text/calib.jsonl`;

describe('the tokenizer of micro-llama', () => {
  it.each(JSON.parse(readFileSync(CHECK, 'utf8')) as { text: string; ids: number[] }[])(
    'gives the reference ids for $text',
    async ({ text, ids }) => {
      const tokenizer = await loadTokenizer(MICRO_LLAMA, MICRO_VOCABULARY_SIZE);
      expect(tokenizer.encode(text)).toEqual(ids);
    },
  );
});

const hasTiny = existsSync(TINY_WINDOWS) && existsSync(CORPUS);

describe.skipIf(!hasTiny)(`the tokenizer of tiny-llama${hasTiny ? '' : ' (skipped: ../shared is not there)'}`, () => {
  it('finds every reference window in the tokens of the corpus', { timeout: 60_000 }, async () => {
    const location = (await readSafetensorsHeader(TINY_WINDOWS)).tensors.get('input_ids');
    if (location === undefined) throw new Error('the fixture has input_ids');
    const bytes = await readTensorBytes(location);
    const [rowCount = 0, sequenceLength = 0] = location.shape;
    const ids = new Int32Array(bytes.buffer, bytes.byteOffset, rowCount * sequenceLength);
    const tokenizer = await loadTokenizer(TINY_LLAMA, 2048);
    const lines = readFileSync(CORPUS, 'utf8').trimEnd().split('\n');
    const corpus = lines.map((line) => ` ${tokenizer.encode((JSON.parse(line) as { text: string }).text).join(' ')} `);
    const missing = Array.from({ length: rowCount }, (_, row) => row).filter((row) => {
      const window = ` ${ids.subarray(row * sequenceLength, (row + 1) * sequenceLength).join(' ')} `;
      return !corpus.some((document) => document.includes(window));
    });
    expect(missing).toEqual([]);
  });
});
