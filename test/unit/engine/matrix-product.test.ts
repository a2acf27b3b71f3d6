/** Products of the runtime against plain float64, in the memory that they are given, on any number of threads. */
import { afterAll, expect, test } from 'vitest';
import { EngineMatrixProduct } from '../../../worker/engine/matrix-product.ts';
import { type DenseMatrix, type ProductCall, rowsOf } from '../../../worker/methods/sparsegpt/matrix-product.ts';
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

/** Parts of the result [begin, end), by rows and by columns, that the solver's threads would take. */
const PARTS = [
  { rows: [0, 64, 300], columns: [0, 260] },
  { rows: [0, 2, 131, 300], columns: [0, 260] },
  { rows: [0, 300], columns: [0, 65, 130, 260] },
  { rows: [0, 192, 300], columns: [0, 128, 260] },
];

test.each(
  PARTS.flatMap((parts) => ['none' as const, 'right' as const].map((transposed) => ({ ...parts, transposed }))),
)(
  'rows $rows, columns $columns, transposed $transposed: each part as in the whole',
  async ({ rows, columns, transposed }) => {
    const [m, n, k] = [300, 260, 700];
    const left: DenseMatrix = { values: randomWeights(m * k, 1), rows: m, columns: k };
    const right: DenseMatrix = { values: randomWeights(k * n, 2), rows: n, columns: k };
    const product = products[0]!;
    const multiply = async (a: DenseMatrix, b: DenseMatrix, effect: ProductCall['effect']) => {
      const out = { values: new Float32Array(a.rows * b.rows), rows: a.rows, columns: b.rows };
      await product.accumulate({
        left: a,
        right: transposed === 'right' ? b : transposeOf(b),
        transposed,
        effect,
        out,
      });
      return out.values;
    };
    for (const effect of EFFECTS) {
      const whole = await multiply(left, right, effect);
      for (const [i, end] of rows.slice(1).entries()) {
        for (const [j, endColumn] of columns.slice(1).entries()) {
          const [begin, beginColumn] = [rows[i]!, columns[j]!];
          const part = await multiply(
            rowsOf(left, { begin, end }),
            rowsOf(right, { begin: beginColumn, end: endColumn }),
            effect,
          );
          const width = endColumn - beginColumn;
          const expected = part.map(
            (_, at) => whole[(begin + Math.floor(at / width)) * n + beginColumn + (at % width)]!,
          );
          expect(Buffer.from(part.buffer).equals(Buffer.from(expected.buffer))).toBe(true);
        }
      }
    }
  },
);

test('shapes that do not agree are a programmer error', async () => {
  const [left, right, out] = [randomWeights(6, 1), randomWeights(8, 2), new Float32Array(4)];
  const call: ProductCall = {
    left: { values: left, rows: 2, columns: 3 },
    right: { values: right, rows: 4, columns: 2 },
    ...{ transposed: 'none', effect: 'add', out: { values: out, rows: 2, columns: 2 } },
  };
  await expect(products[0]!.accumulate(call)).rejects.toThrow('shapes of a product agree');
});
