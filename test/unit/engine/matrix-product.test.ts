/** Products of the runtime against plain float64, in the memory that they are given, on any number of threads. */
import { afterAll, expect, test } from 'vitest';
import { EngineMatrixProduct } from '../../../worker/engine/matrix-product.ts';
import type { DenseMatrix, ProductCall } from '../../../worker/methods/sparsegpt/matrix-product.ts';
import { randomWeights } from '../../support/sparsegpt-cases.ts';

const products = [1, 2, 16].map((threads) => new EngineMatrixProduct(threads));
afterAll(() => Promise.all(products.map((each) => each.release())));

const SHAPES = [
  [1, 1, 1],
  [3, 5, 7],
  [64, 64, 64],
  [300, 130, 700],
  [276, 300, 1024],
] as const;
const TRANSPOSED: readonly ProductCall['transposed'][] = ['none', 'left', 'right'];
const EFFECTS: readonly ProductCall['effect'][] = ['add', 'subtract'];

function transposeOf({ values, rows, columns }: DenseMatrix): DenseMatrix {
  const transposed = values.map((_, i) => values[(i % rows) * columns + Math.floor(i / rows)]!);
  return { values: transposed, rows: columns, columns: rows };
}

const cases = SHAPES.flatMap(([m, n, k]) =>
  TRANSPOSED.flatMap((transposed) => EFFECTS.map((effect) => ({ m, n, k, transposed, effect }))),
);

test.each(cases)('[$m, $k] x [$k, $n], transposed $transposed, $effect', async ({ m, n, k, transposed, effect }) => {
  const a: DenseMatrix = { values: randomWeights(m * k, 1), rows: m, columns: k };
  const b: DenseMatrix = { values: randomWeights(k * n, 2), rows: k, columns: n };
  const before = randomWeights(m * n, 3);
  const left = transposed === 'left' ? transposeOf(a) : a;
  const right = transposed === 'right' ? transposeOf(b) : b;
  const results = [];
  for (const product of products) {
    // A part of a larger array: nothing around it may change.
    const around = new Float32Array(m * n + 20).fill(9);
    around.set(before, 10);
    const out = { values: around.subarray(10, 10 + m * n), rows: m, columns: n };
    await product.accumulate({ left, right, transposed, effect, out });
    expect([...around.subarray(0, 10), ...around.subarray(10 + m * n)]).toEqual(new Array(20).fill(9));
    results.push(out.values);
  }
  const sign = effect === 'add' ? 1 : -1;
  let worst = 0;
  for (let i = 0; i < m; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let t = 0; t < k; t++) sum += a.values[i * k + t]! * b.values[t * n + j]!;
      worst = Math.max(worst, Math.abs(results[0]![i * n + j]! - (before[i * n + j]! + sign * sum)));
    }
  }
  expect(worst).toBeLessThan(1e-6);
  if (m < n && transposed !== 'left') return;
  for (const other of results)
    expect(Buffer.from(other.slice().buffer).equals(Buffer.from(results[0]!.slice().buffer))).toBe(true);
});

test('shapes that do not agree are a programmer error', async () => {
  const [left, right, out] = [randomWeights(6, 1), randomWeights(8, 2), new Float32Array(4)];
  const call: ProductCall = {
    left: { values: left, rows: 2, columns: 3 },
    right: { values: right, rows: 4, columns: 2 },
    ...{ transposed: 'none', effect: 'add', out: { values: out, rows: 2, columns: 2 } },
  };
  await expect(products[0]!.accumulate(call)).rejects.toThrow('shapes of a product agree');
});
