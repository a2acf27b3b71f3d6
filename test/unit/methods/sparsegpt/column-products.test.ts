/** Products of columns: the same bits however samples are grouped, and the Hessian that float64 gives, as near as float32. */
import { afterAll, describe, expect, it } from 'vitest';
import { EngineMatrixProduct } from '../../../../worker/engine/matrix-product.ts';
import { gaussian } from '../../../../worker/kernels/sample-weights.ts';
import {
  ColumnProducts,
  ProductsSum,
  packedLength,
  toHessian,
} from '../../../../worker/methods/sparsegpt/column-products.ts';
import { seededRandom } from '../../../support/seeded-random.ts';

const product = new EngineMatrixProduct(2);
const oneThread = new EngineMatrixProduct(1);
afterAll(() => Promise.all([product.release(), oneThread.release()]));

const NAME = { layer: 3, statistic: 'mlpInput' };
const TOKENS = 16;

/** Samples [TOKENS, columns]; column 1 is dead, column 2 as good as dead, the last one loud. */
function samplesOf(count: number, columns: number): Float32Array[] {
  const random = seededRandom(7);
  const scale = (column: number) => [1, 0, 1e-18][column] ?? (column === columns - 1 ? 1e6 : 1);
  return Array.from({ length: count }, () =>
    Float32Array.from({ length: TOKENS * columns }, (_, index) => gaussian(random) * scale(index % columns)),
  );
}

function sumsOf(samples: readonly Float32Array[], columns: number): Float64Array {
  const sums = new Float64Array(columns);
  for (const sample of samples) for (const [index, x] of sample.entries()) sums[index % columns]! += x * x;
  return sums;
}

async function hessianOf(groups: readonly (readonly Float32Array[])[], sums: Float64Array, by = product) {
  const columns = sums.length;
  const matrix = new Float32Array(columns ** 2);
  const sum = new ProductsSum(matrix, columns);
  let samples = 0;
  for (const group of groups) {
    const part = new ColumnProducts(NAME, sums, by);
    for (const sample of group) await part.add(sample);
    samples += group.length;
    // In pieces that end anywhere.
    for (let at = 0; at < part.values.length; at += 1001) sum.add(part.values.subarray(at, at + 1001));
  }
  toHessian(matrix, sums, samples);
  return matrix;
}

describe('products of columns', () => {
  // One tile; and three, the last of which is narrow.
  it.each([48, 4100])(
    'of %i columns are the same bits however samples are grouped, on any threads',
    async (columns) => {
      const samples = samplesOf(4, columns);
      const sums = sumsOf(samples, columns);
      const together = await hessianOf([samples], sums);
      const apart = await hessianOf([[samples[2]!], [samples[0]!, samples[3]!], [samples[1]!]], sums, oneThread);
      expect(Buffer.compare(Buffer.from(together.buffer), Buffer.from(apart.buffer))).toBe(0);
    },
    60_000,
  );

  it('give the Hessian of float64, symmetric, with dead columns 0', async () => {
    const columns = 48;
    const samples = samplesOf(6, columns);
    const sums = sumsOf(samples, columns);
    const found = await hessianOf([samples.slice(0, 2), samples.slice(2)], sums);
    for (let i = 0; i < columns; i++) {
      for (let j = 0; j < columns; j++) {
        let expected = 0;
        for (const sample of samples) {
          for (let at = 0; at < sample.length; at += columns) expected += (2 * sample[at + i]! * sample[at + j]!) / 6;
        }
        const isDead = [i, j].some((column) => column === 1 || column === 2);
        const scale = (2 * Math.sqrt(sums[i]! * sums[j]!)) / 6;
        expect(Math.abs(found[i * columns + j]! - (isDead ? 0 : expected))).toBeLessThanOrEqual(1e-6 * scale);
        expect(found[i * columns + j]).toBe(found[j * columns + i]);
      }
    }
    expect(found[columns + 1]).toBe(0);
    expect(found[2 * columns + 2]).toBe(0);
    expect(packedLength(columns)).toBe((48 * 49) / 2);
  });

  it('of inputs that are not finite fail with layer, statistic and column', async () => {
    const [sample] = samplesOf(1, 48);
    const sums = sumsOf([sample!], 48);
    sample![48 + 5] = Number.NaN;
    const part = new ColumnProducts(NAME, sums, product);
    await expect(part.add(sample!)).rejects.toMatchObject({
      code: 'NonFiniteValue',
      details: { ...NAME, column: 5 },
    });
  });
});
