/** Weights that were changed go back in their stored type: rounded to nearest, ties to even, and none beyond it. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { readLinear, writeLinear } from '../../../worker/engine/linear-weights.ts';
import { widenWeight } from '../../../worker/kernels/reference.ts';
import type { LinearJob } from '../../../worker/methods/method.ts';

const folder = mkdtempSync(join(tmpdir(), 'secateur-weights-'));
afterAll(() => rmSync(folder, { recursive: true }));

function jobOf(dtype: LinearJob['dtype'], rows: number, columns: number): LinearJob {
  const place = (name: string, offset: number) => ({ file: join(folder, name), offset });
  return {
    ...{ tensor: 'w', dtype, rows, columns, source: place('source', 8), destination: place('destination', 8) },
    choice: { kind: 'unstructured', sparsity: 0.5 },
    options: {},
    statistic: () => {
      throw new Error('no statistic is read');
    },
  };
}

async function written(dtype: LinearJob['dtype'], values: readonly number[]) {
  const job = jobOf(dtype, 1, values.length);
  writeFileSync(job.destination.file, Buffer.alloc(8));
  const { zeros } = await writeLinear(job, Float32Array.from(values));
  const { buffer } = Uint8Array.from(readFileSync(job.destination.file).subarray(8));
  const stored =
    dtype === 'F32' ? new Float32Array(buffer) : [...new Uint16Array(buffer)].map((bits) => widenWeight(dtype, bits));
  return { zeros, stored: [...stored] };
}

describe('weights of a linear', () => {
  it.each(['BF16', 'F16'] as const)('every finite %s is read and written as it is', async (dtype) => {
    const finite = [...Array(2 ** 16).keys()].filter((bits) => Number.isFinite(widenWeight(dtype, bits)));
    const job = jobOf(dtype, 2, finite.length / 2);
    const bytes = Buffer.from(Uint16Array.from(finite).buffer);
    writeFileSync(job.source.file, Buffer.concat([Buffer.alloc(8), bytes]));
    writeFileSync(job.destination.file, Buffer.alloc(8));
    const weights = await readLinear(job);
    expect([...weights]).toEqual(finite.map((bits) => widenWeight(dtype, bits)));
    expect(await writeLinear(job, weights)).toEqual({ zeros: 2 });
    expect(readFileSync(job.destination.file).subarray(8).equals(bytes)).toBe(true);
  });

  it('a value between two is rounded to the nearest, one in the middle to the even one', async () => {
    // BF16 has 8 bits, F16 11: steps of 2^-7 and 2^-10 above 1.
    const steps = [0.5, 0.501, 1.5, 1.4999, -0.5, -1.5];
    const bfloat16 = await written(
      'BF16',
      steps.map((step) => Math.sign(step) + step / 128),
    );
    expect(bfloat16.stored.map((value) => (value - Math.sign(value)) * 128)).toEqual([0, 1, 2, 1, 0, -2]);
    const float16 = await written(
      'F16',
      steps.map((step) => Math.sign(step) + step / 1024),
    );
    expect(float16.stored.map((value) => (value - Math.sign(value)) * 1024).slice(2)).toEqual([2, 1, 0, -2]);
    expect(await written('F32', [0, -0, 1.1])).toEqual({ zeros: 2, stored: [0, -0, Math.fround(1.1)] });
    // Too small for the type: a zero, and counted as one.
    expect(await written('F16', [1e-9, 1])).toEqual({ zeros: 1, stored: [0, 1] });
  });

  it('one beyond the type fails with its place, and so does a file that ends early', async () => {
    await expect(written('F16', [1, 70_000])).rejects.toMatchObject({
      code: 'NonFiniteValue',
      details: { tensor: 'w', row: 0, column: 1 },
    });
    await expect(written('BF16', [3.4e38 * 1.0009, 1])).rejects.toMatchObject({ code: 'NonFiniteValue' });
    const job = jobOf('F32', 2, 3);
    writeFileSync(job.source.file, Buffer.alloc(8 + 20));
    await expect(readLinear(job)).rejects.toMatchObject({ code: 'SourceChanged', details: { tensor: 'w' } });
  });
});
