/** Outliers of a layer, as the engine counts them, against the plain count. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { KernelPool } from '../../../worker/kernels/kernel-pool.ts';
import { type StoredWeights, widenWeight } from '../../../worker/kernels/reference.ts';
import type { MatrixDescription } from '../../../worker/kernels/selection.ts';
import { columnNormsFromScaler } from '../../../worker/methods/column-norms.ts';
import { countOutliers, type MeasuredLinear } from '../../../worker/methods/outliers.ts';
import { FAMILIES, makeCase } from '../../support/kernel-cases.ts';
import { naiveMetrics } from '../../support/naive-methods.ts';

/** What a norm may be squared to without leaving float32. */
const NORM_MAX = 1e18;

interface Linear {
  readonly matrix: MatrixDescription;
  readonly weights: StoredWeights;
  /** [I], the squares of the norms. */
  readonly scaler: Float32Array;
}

const folder = mkdtempSync(join(tmpdir(), 'secateur-outliers-'));
let pools: KernelPool[];
beforeAll(async () => {
  pools = await Promise.all([1, 2].map((threads) => KernelPool.create({ threads })));
});
afterAll(async () => {
  await Promise.all(pools.map((pool) => pool.close()));
  rmSync(folder, { recursive: true });
});

function stored({ matrix, weights, scaler }: Linear, index: number): MeasuredLinear {
  const file = join(folder, String(index));
  writeFileSync(file, new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength));
  const statistic = { linear: matrix.tensor, inputNormSquared: Float64Array.from(scaler), samples: 1 };
  return { ...matrix, source: { file, offset: 0 }, statistic };
}

function naively(linears: readonly Linear[], threshold: number) {
  const metrics = linears.flatMap(({ matrix, weights, scaler }) =>
    naiveMetrics('wanda', matrix, weights, columnNormsFromScaler(scaler, matrix.tensor)),
  );
  // Exact products: what float32 cannot hold has no infinite mean.
  const sums = linears.map(({ matrix, weights, scaler }) => {
    const norms = columnNormsFromScaler(scaler, matrix.tensor);
    const products = Array.from(weights, (weight, at) => {
      return Math.abs(widenWeight(matrix.dtype, weight)) * (norms[at % matrix.columns] as number);
    });
    return products.reduce((sum, product) => sum + product, 0);
  });
  const mean = sums.reduce((sum, each) => sum + each, 0) / Math.max(1, metrics.length);
  const bound = Math.fround(threshold * mean);
  return { outliers: metrics.filter((metric) => metric > bound).length, weights: metrics.length };
}

async function expectSame(linears: readonly Linear[], threshold: number): Promise<void> {
  const expected = naively(linears, threshold);
  for (const pool of pools) {
    const told: number[] = [];
    const found = await countOutliers(linears.map(stored), threshold, pool, (done) => told.push(done));
    expect(found).toEqual(expected);
    expect(told.at(-1) ?? 0).toBe(2 * expected.weights);
  }
}

describe('as many as the plain count', () => {
  test.each(['BF16', 'F16', 'F32'] as const)('%s', async (dtype) => {
    let seed = 0;
    for (const family of Object.keys(FAMILIES)) {
      const linears = [
        [48, 64],
        [7, 33],
      ].map(([rows = 0, columns = 0]) => {
        seed += 1;
        const { matrix, weights, columnNorms } = makeCase(family, dtype, rows, columns, seed);
        const scaler = columnNorms.map((norm) => Math.min(Math.abs(norm), NORM_MAX) ** 2);
        return { matrix, weights, scaler };
      });
      for (const threshold of [1, 2.5, 5]) await expectSame(linears, threshold);
    }
  });
});

test('of nothing, and of zeros, there are none', async () => {
  const zeros = { matrix: { tensor: 'w', dtype: 'F32' as const, rows: 3, columns: 4 }, weights: new Float32Array(12) };
  await expectSame([], 5);
  await expectSame([{ ...zeros, scaler: new Float32Array(4).fill(1) }], 5);
  const ones = { ...zeros, weights: new Float32Array(12).fill(1) };
  await expectSame([{ ...ones, scaler: new Float32Array(4) }], 5);
});

test('a statistic that is no number is named', async () => {
  const matrix = { tensor: 'w', dtype: 'F32' as const, rows: 1, columns: 2 };
  const linear = { matrix, weights: new Float32Array(2), scaler: Float32Array.of(1, Number.NaN) };
  const counted = countOutliers([stored(linear, 0)], 5, pools[0] as KernelPool, () => undefined);
  await expect(counted).rejects.toMatchObject({ code: 'NonFiniteValue', details: { linear: 'w', column: 1 } });
});
