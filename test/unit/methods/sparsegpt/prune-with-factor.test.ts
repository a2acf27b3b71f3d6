/** SparseGPT's sweep over a linear against plain float64: every choice, awkward shapes, ties, and what is refused. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LinearChoice } from '../../../../shared/manifest/select-linears.ts';
import { LocalSolver } from '../../../../worker/engine/local-solver.ts';
import { SolverPool } from '../../../../worker/engine/solver-pool.ts';
import { type HessianFactor, prepareHessianFactor } from '../../../../worker/methods/sparsegpt/hessian-factor.ts';
import { pruneWithFactor } from '../../../../worker/methods/sparsegpt/prune-with-factor.ts';
import type { Solver } from '../../../../worker/methods/sparsegpt/solver.ts';
import { plainFactor, plainSparseGpt } from '../../../support/float64-sparsegpt.ts';
import { compareWeights, randomHessian, randomWeights, sharedCopy } from '../../../support/sparsegpt-cases.ts';

let solvers: Solver[];
let solver: Solver;
beforeAll(async () => {
  const pools = [2, 1, 5].map((threads) => SolverPool.create({ threads }));
  solvers = await Promise.all([...pools, LocalSolver.create()]);
  solver = solvers[0]!;
});
afterAll(() => Promise.all(solvers.map((each) => each.close())));

const unstructured = (sparsity: number): LinearChoice => ({ kind: 'unstructured', sparsity });
const pattern = (keep: number, group: number): LinearChoice => ({ kind: 'pattern', keep, group });

function factorOf(hessian: Float32Array): Promise<HessianFactor> {
  const columns = Math.sqrt(hessian.length);
  const input = { hessian: sharedCopy(hessian), columns, dampingFraction: 0.01, layer: 2, linears: ['mlp.up_proj'] };
  return prepareHessianFactor(input, solver);
}

function identity(columns: number): Float32Array {
  return Float32Array.from({ length: columns * columns }, (_, i) => Number(i % (columns + 1) === 0));
}

interface Sweep {
  readonly rows: number;
  readonly choice: LinearChoice;
  readonly blockSize?: number;
  readonly by?: Solver;
}

/** Prunes a copy of the weights. */
async function prune(weights: Float32Array, factor: HessianFactor, { rows, choice, blockSize = 128, by }: Sweep) {
  const shared = sharedCopy(weights);
  const input = { layer: 2, linear: 'mlp.up_proj', weights: shared, rows, choice, blockSize };
  const { zeros } = await pruneWithFactor(input, factor, by ?? solver);
  return { pruned: shared.slice(), zeros };
}

describe('weights and mask are those of plain float64', () => {
  test.each([
    { rows: 40, columns: 200, choice: unstructured(0.5), blockSize: 128 },
    { rows: 33, columns: 200, choice: unstructured(0.3), blockSize: 50 },
    { rows: 1, columns: 130, choice: unstructured(0.7), blockSize: 128 },
    { rows: 31, columns: 7, choice: unstructured(0.5), blockSize: 3 },
    { rows: 5, columns: 1, choice: unstructured(0.5), blockSize: 128 },
    { rows: 70, columns: 300, choice: unstructured(0.5), blockSize: 1 },
    { rows: 30, columns: 130, choice: unstructured(0.5), blockSize: 1000 },
    { rows: 12, columns: 60, choice: unstructured(1), blockSize: 16 },
    { rows: 40, columns: 200, choice: pattern(2, 4), blockSize: 128 },
    { rows: 35, columns: 200, choice: pattern(4, 8), blockSize: 128 },
    { rows: 20, columns: 150, choice: pattern(1, 3), blockSize: 128 },
    { rows: 20, columns: 154, choice: pattern(3, 7), blockSize: 20 },
    { rows: 20, columns: 120, choice: pattern(10, 40), blockSize: 16 },
    { rows: 9, columns: 36, choice: pattern(1, 2), blockSize: 1 },
  ])('$rows x $columns, $choice, blocks of $blockSize', async ({ rows, columns, choice, blockSize }) => {
    const hessian = randomHessian(columns, 3 * columns + 10, rows);
    const weights = randomWeights(rows * columns, columns);
    const { pruned, zeros } = await prune(weights, await factorOf(hessian), { rows, choice, blockSize });
    // Where the plain one has groups cross blocks, it has longer blocks: they do not enter into the choice.
    const plainBlockSize = choice.kind === 'pattern' ? columns : blockSize;
    const plain = plainFactor(hessian, columns, 0.01);
    const expected = plainSparseGpt(weights, rows, columns, plain, [], choice, plainBlockSize);
    const { maskDiffers, rowsAgreed, relative } = compareWeights(pruned, expected, columns);
    expect(maskDiffers).toBeLessThanOrEqual(choice.kind === 'pattern' ? 0.02 : 0.005);
    expect(rowsAgreed).toBeGreaterThan(rows * 0.7);
    expect(relative).toBeLessThan(1e-4);
    expect(zeros).toBe(pruned.filter((weight) => weight === 0).length);
  });
});

test('a linear of several error panels, whose blocks are told of each other by products of every size', async () => {
  const [rows, columns] = [24, 1500];
  const hessian = randomHessian(columns, 400, 4);
  const weights = randomWeights(rows * columns, 5);
  const factor = await factorOf(hessian);
  const upper = Float64Array.from(factor.upper.values);
  for (const choice of [unstructured(0.5), pattern(2, 4)]) {
    const { pruned } = await prune(weights, factor, { rows, choice });
    // The sweep alone: the factor is the one in float32, which has a test of its own.
    const expected = plainSparseGpt(weights, rows, columns, upper, [], choice, 128);
    const { maskDiffers, rowsAgreed, relative } = compareWeights(pruned, expected, columns);
    expect(maskDiffers).toBeLessThan(0.01);
    expect(rowsAgreed).toBeGreaterThan(0);
    expect(relative).toBeLessThan(1e-4);
  }
});

test.each([
  { rows: 50, columns: 1300 },
  { rows: 300, columns: 1300 },
  { rows: 700, columns: 300 },
  { rows: 2100, columns: 320 },
])('$rows x $columns: the same bytes on any number of threads', async ({ rows, columns }) => {
  const hessian = randomHessian(columns, 60, 8);
  const weights = randomWeights(rows * columns, 9);
  const digests = new Set<string>();
  const factor = await factorOf(hessian);
  for (const by of solvers) {
    const { pruned } = await prune(weights, factor, { rows, choice: unstructured(0.6), by });
    digests.add(createHash('sha256').update(pruned).digest('hex'));
  }
  expect(digests.size).toBe(1);
});

test('dead columns become 0, whatever their weights are', async () => {
  const dead = [1, 30, 31, 99];
  const [rows, columns] = [16, 100];
  const hessian = randomHessian(columns, 300, 6, dead);
  const weights = randomWeights(rows * columns, 7);
  for (const column of dead) weights[column] = 1e6;
  for (const choice of [unstructured(0.5), pattern(2, 4)]) {
    const { pruned } = await prune(weights, await factorOf(hessian), { rows, choice });
    for (const column of dead) {
      for (let row = 0; row < rows; row++) expect(pruned[row * columns + column]).toBe(0);
    }
    const plain = plainFactor(hessian, columns, 0.01);
    const expected = plainSparseGpt(weights, rows, columns, plain, dead, choice, 128);
    const { maskDiffers, relative } = compareWeights(pruned, expected, columns);
    expect(maskDiffers).toBe(0);
    expect(relative).toBeLessThan(1e-4);
  }
});

describe('ties', () => {
  test('unstructured: all that equal the threshold go, as in the reference', async () => {
    const { pruned, zeros } = await prune(new Float32Array(6 * 8).fill(3), await factorOf(identity(8)), {
      ...{ rows: 6, choice: unstructured(0.1) },
    });
    expect(zeros).toBe(48);
    expect(pruned.every((weight) => weight === 0)).toBe(true);
  });

  test('unstructured: int(weights * sparsity) and one more go where there are none', async () => {
    const weights = Float32Array.from({ length: 80 }, (_, i) => 1 + ((i * 37) % 80));
    const { pruned } = await prune(weights, await factorOf(identity(8)), { rows: 10, choice: unstructured(0.26) });
    expect(pruned).toEqual(weights.map((weight) => (weight <= 21 ? 0 : weight)));
  });

  test('pattern: the lower column goes first', async () => {
    const weights = Float32Array.of(1, -1, 1, 1, 2, 1, 1, 2);
    const { pruned } = await prune(weights, await factorOf(identity(8)), { rows: 1, choice: pattern(2, 4) });
    expect(pruned).toEqual(Float32Array.of(0, 0, 1, 1, 2, 0, 0, 2));
  });
});

test('keepAll and sparsity 0 change no bit', async () => {
  const weights = randomWeights(4 * 70, 1);
  weights[5] = -0;
  const factor = await factorOf(randomHessian(70, 100, 1, [5]));
  for (const choice of [{ kind: 'keepAll' } as const, unstructured(0)]) {
    const { pruned, zeros } = await prune(weights, factor, { rows: 4, choice });
    expect(Buffer.from(pruned.buffer).equals(Buffer.from(weights.buffer))).toBe(true);
    expect(zeros).toBe(1);
  }
});

describe('refused', () => {
  test.each([
    { choice: unstructured(-0.1), blockSize: 128 },
    { choice: unstructured(1.1), blockSize: 128 },
    { choice: unstructured(Number.NaN), blockSize: 128 },
    { choice: pattern(2, 5), blockSize: 128 },
    { choice: pattern(4, 4), blockSize: 128 },
    { choice: unstructured(0.5), blockSize: 0 },
    { choice: unstructured(0.5), blockSize: 1.5 },
  ])('$choice in blocks of $blockSize', async ({ choice, blockSize }) => {
    const work = prune(randomWeights(64, 1), await factorOf(identity(8)), { rows: 8, choice, blockSize });
    await expect(work).rejects.toMatchObject({ code: 'ArgumentInvalid' });
    await expect(work).rejects.toThrow('layer 2, mlp.up_proj');
  });

  test.each([Number.NaN, Infinity, -Infinity])('a weight of %d', async (weight) => {
    const weights = randomWeights(64, 1);
    weights[21] = weight;
    const work = prune(weights, await factorOf(identity(8)), { rows: 8, choice: unstructured(0.5) });
    await expect(work).rejects.toMatchObject({ code: 'NonFiniteValue', details: { row: 2, column: 5 } });
  });

  test('an update that leaves float32', async () => {
    const weights = new Float32Array(8).fill(3e38);
    const hessian = randomHessian(8, 100, 1);
    const work = prune(weights, await factorOf(hessian), { rows: 1, choice: pattern(1, 8) });
    await expect(work).rejects.toMatchObject({ code: 'NonFiniteValue', details: { layer: 2, linear: 'mlp.up_proj' } });
  });
});
