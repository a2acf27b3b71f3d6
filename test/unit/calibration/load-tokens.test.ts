import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Dtype } from '../../../shared/safetensors/dtype.ts';
import { writeSafetensorsFile } from '../../../shared/safetensors/write-file.ts';
import { loadTokens } from '../../../worker/calibration/load-tokens.ts';
import { temporaryFolder } from './temporary-folder.ts';

type Ids = Int32Array | BigInt64Array | Float32Array;

async function written(ids: Ids, dtype: Dtype, shape: number[], name = 'input_ids'): Promise<string> {
  const file = join(temporaryFolder(), 'ids.safetensors');
  const data = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
  await writeSafetensorsFile(file, [{ name, dtype, shape, data }]);
  return file;
}

const failureOf = (promise: Promise<unknown>): Promise<unknown> => promise.catch((thrown: unknown) => thrown);

describe('given token ids', () => {
  it('are read from 32-bit and from 64-bit integers alike', async () => {
    const folder = temporaryFolder();
    const table = fc.tuple(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 9 })).chain(([rows, columns]) =>
      fc.record({
        shape: fc.constant([rows, columns]),
        ids: fc.array(fc.integer({ min: 0, max: 2 ** 31 - 2 }), {
          minLength: rows * columns,
          maxLength: rows * columns,
        }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(table, fc.boolean(), async ({ shape, ids }, wide) => {
        const stored = wide ? BigInt64Array.from(ids, BigInt) : Int32Array.from(ids);
        const file = join(folder, 'ids.safetensors');
        const data = new Uint8Array(stored.buffer);
        await writeSafetensorsFile(file, [{ name: 'input_ids', dtype: wide ? 'I64' : 'I32', shape, data }]);
        const loaded = await loadTokens(file, null, 2 ** 31 - 1);
        expect(loaded).toEqual({ samples: shape[0], sequenceLength: shape[1], ids: Int32Array.from(ids) });
      }),
      { numRuns: 40 },
    );
  });

  it('are the first rows, where fewer are asked for', async () => {
    const file = await written(Int32Array.of(1, 2, 3, 4, 5, 6), 'I32', [3, 2]);
    expect(await loadTokens(file, 2, 10)).toEqual({ samples: 2, sequenceLength: 2, ids: Int32Array.of(1, 2, 3, 4) });
  });

  it.each([
    [2, 2],
    [3, 3],
    [4, 3],
  ])('of three rows, where at most %i are wanted, are %i', async (atMost, rows) => {
    const file = await written(Int32Array.of(1, 2, 3, 4, 5, 6), 'I32', [3, 2]);
    const ids = Int32Array.of(1, 2, 3, 4, 5, 6).slice(0, rows * 2);
    expect(await loadTokens(file, { atMost }, 10)).toEqual({ samples: rows, sequenceLength: 2, ids });
  });

  it('need not be good beyond the rows that are taken', async () => {
    const file = await written(Int32Array.of(1, 2, -1, 4), 'I32', [2, 2]);
    expect((await loadTokens(file, 1, 10)).ids).toEqual(Int32Array.of(1, 2));
  });

  it.each<[string, Ids, Dtype, string]>([
    ['the size of the vocabulary', Int32Array.of(0, 9, 3, 10, 9, 3), 'I32', '10'],
    ['a padding of -100', Int32Array.of(0, 9, 3, -100, 9, 3), 'I32', '-100'],
    ['the size of the vocabulary in 64 bits', BigInt64Array.of(0n, 9n, 3n, 10n, 9n, 3n), 'I64', '10'],
    ['-1 in 64 bits', BigInt64Array.of(0n, 9n, 3n, -1n, 9n, 3n), 'I64', '-1'],
    [
      '2^32 + 5, which 32 bits would take for 5',
      BigInt64Array.of(0n, 9n, 3n, 2n ** 32n + 5n, 9n, 3n),
      'I64',
      '4294967301',
    ],
    [
      '2^31, which 32 bits would take for a negative',
      BigInt64Array.of(0n, 9n, 3n, 2n ** 31n, 9n, 3n),
      'I64',
      '2147483648',
    ],
    ['the least of 64 bits', BigInt64Array.of(0n, 9n, 3n, -(2n ** 63n), 9n, 3n), 'I64', '-9223372036854775808'],
  ])('with %s are refused by row and column', async (_, ids, dtype, found) => {
    const file = await written(ids, dtype, [2, 3]);
    const failure = await failureOf(loadTokens(file, null, 10));
    expect(failure).toMatchObject({ code: 'CalibrationInvalid', details: { file, row: 1, column: 0, found } });
    expect((failure as Error).message).toContain(`${file}: input_ids row 1, column 0: expected a token id from 0 to 9`);
  });

  it.each<[string, Ids, Dtype, number[], RegExp]>([
    ['of floats', Float32Array.of(1, 2), 'F32', [1, 2], /found F32/],
    ['of unsigned integers', Int32Array.of(1, 2), 'U32', [1, 2], /found U32/],
    ['in one row without samples', Int32Array.of(1, 2), 'I32', [2], /found \[2\]/],
    ['of rank 3', Int32Array.of(1, 2), 'I32', [1, 1, 2], /found \[1, 1, 2\]/],
    ['without samples', Int32Array.of(), 'I32', [0, 2], /found \[0, 2\]/],
    ['without tokens', Int32Array.of(), 'I32', [2, 0], /found \[2, 0\]/],
  ])('%s are refused', async (_, ids, dtype, shape, problem) => {
    const file = await written(ids, dtype, shape);
    const failure = await failureOf(loadTokens(file, null, 10));
    expect(failure).toMatchObject({ code: 'CalibrationInvalid', details: { file } });
    expect((failure as Error).message).toMatch(problem);
  });

  it('of another name are refused, with the names that are there', async () => {
    const file = await written(Int32Array.of(1, 2), 'I32', [1, 2], 'tokens');
    const failure = await failureOf(loadTokens(file, null, 10));
    expect(failure).toMatchObject({ code: 'CalibrationInvalid' });
    expect((failure as Error).message).toContain('found tokens.');
  });

  it.each([0, 4, -1])('of three samples are refused where %i are asked for', async (samples) => {
    const file = await written(Int32Array.of(1, 2, 3), 'I32', [3, 1]);
    expect(await failureOf(loadTokens(file, samples, 10))).toMatchObject({ code: 'CalibrationInvalid' });
  });
});
