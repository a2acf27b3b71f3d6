/** The factor of a Hessian: against plain float64, in place, on any number of threads, and when it cannot be had. */
import { createHash } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { SecateurError } from '../../../../shared/errors/secateur-error.ts';
import { LocalSolver } from '../../../../worker/engine/local-solver.ts';
import { SolverPool } from '../../../../worker/engine/solver-pool.ts';
import {
  type DampingRaise,
  type HessianFactor,
  type HessianInput,
  prepareHessianFactor,
} from '../../../../worker/methods/sparsegpt/hessian-factor.ts';
import { TILE_SIZES } from '../../../../worker/methods/sparsegpt/invert-cholesky.ts';
import type { Solver } from '../../../../worker/methods/sparsegpt/solver.ts';
import { plainFactor } from '../../../support/float64-sparsegpt.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { randomHessian, sharedCopy } from '../../../support/sparsegpt-cases.ts';

/** So small that a matrix of a few hundred columns has several tiles and panels, and threads have to meet. */
const SMALL_TILES = { tile: 128, panel: 128, alone: 64 };

let solvers: Solver[];
let solver: Solver;
beforeAll(async () => {
  const pools = [2, 1, 5].map((threads) => SolverPool.create({ threads }));
  solvers = await Promise.all([...pools, LocalSolver.create()]);
  solver = solvers[0]!;
});
afterAll(() => Promise.all(solvers.map((each) => each.close())));

/** Of a copy. */
function inputOf(values: Float32Array, dampingFraction = 0.01): HessianInput {
  const linears = ['self_attn.q_proj', 'self_attn.k_proj'];
  const hessian = sharedCopy(values);
  return { hessian, columns: Math.sqrt(hessian.length), dampingFraction, layer: 7, linears };
}

function upperOf({ upper: { values, size } }: HessianFactor): Float32Array {
  return values.map((value, i) => (i % size >= Math.floor(i / size) ? value : 0));
}

function digestOf(values: Float32Array): string {
  return createHash('sha256').update(values.slice()).digest('hex');
}

/** Symmetric and dominated by its diagonal: positive definite at any size, made fast. */
function bigHessian(columns: number): Float32Array {
  const random = seededRandom(columns);
  const hessian = new Float32Array(columns * columns);
  for (let i = 0; i < columns; i++) {
    hessian[i * columns + i] = 1 + random();
    for (let j = 0; j < i; j++) {
      const value = (random() - 0.5) / Math.sqrt(columns);
      hessian[i * columns + j] = value;
      hessian[j * columns + i] = value;
    }
  }
  return hessian;
}

/** Largest |(U^T U H v - v)[i]| for a vector of values up to 1, in float64. */
function residual({ upper: { values, size } }: HessianFactor, damped: (i: number, j: number) => number): number {
  const random = seededRandom(3);
  const v = Float64Array.from({ length: size }, () => 2 * random() - 1);
  const hv = v.map((_, i) => v.reduce((sum, value, j) => sum + damped(i, j) * value, 0));
  const uhv = hv.map((_, i) => {
    let sum = 0;
    for (let j = i; j < size; j++) sum += values[i * size + j]! * hv[j]!;
    return sum;
  });
  const result = new Float64Array(size);
  for (let i = 0; i < size; i++) for (let j = i; j < size; j++) result[j]! += values[i * size + j]! * uhv[i]!;
  return result.reduce((worst, value, i) => Math.max(worst, Math.abs(value - v[i]!)), 0);
}

describe('the factor', () => {
  const cases = [1, 2, 63, 64, 65, 129, 200, 330].flatMap((columns) => [
    { columns, sizes: SMALL_TILES },
    { columns, sizes: TILE_SIZES },
  ]);
  test.each(cases)('of $columns columns in tiles $sizes.tile is that of plain float64', async ({ columns, sizes }) => {
    const hessian = randomHessian(columns, 2 * columns, columns);
    const expected = plainFactor(hessian, columns, 0.01);
    const factor = await prepareHessianFactor(inputOf(hessian), solver, undefined, sizes);
    const upper = upperOf(factor);
    const scale = expected.reduce((worst, value) => Math.max(worst, Math.abs(value)), 0);
    const worst = upper.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
    expect(worst / scale).toBeLessThan(2e-5);
    expect(factor).toMatchObject({ columns, deadColumns: [], dampingFraction: 0.01 });
  });

  test('lives in the memory of the Hessian, its transpose below the diagonal', async () => {
    const columns = 1500;
    const before = bigHessian(columns);
    const input = inputOf(before);
    const { hessian } = input;
    const factor = await prepareHessianFactor(input, solver, undefined, SMALL_TILES);
    expect(factor.upper.values).toBe(hessian);
    const other = hessian.findIndex((value, i) => value !== hessian[(i % columns) * columns + Math.floor(i / columns)]);
    expect(other).toBe(-1);
    const mean = before.reduce((sum, value, i) => sum + (i % (columns + 1) === 0 ? value : 0), 0) / columns;
    const damped = (i: number, j: number) => before[i * columns + j]! + (i === j ? 0.01 * mean : 0);
    expect(residual(factor, damped)).toBeLessThan(1e-5);
  });

  test.each([
    { columns: 1100, sizes: SMALL_TILES },
    { columns: 2100, sizes: TILE_SIZES },
  ])('of $columns columns is the same on any number of threads', async ({ columns, sizes }) => {
    const hessian = bigHessian(columns);
    const digests = new Set<string>();
    for (const onThreads of solvers) {
      const { upper } = await prepareHessianFactor(inputOf(hessian), onThreads, undefined, sizes);
      digests.add(digestOf(upper.values));
    }
    expect(digests.size).toBe(1);
  });

  test('has 1 in the diagonal of the Hessian where a column is dead', async () => {
    const dead = [0, 17, 69];
    const hessian = randomHessian(70, 200, 5, dead);
    const expected = plainFactor(hessian, 70, 0.01);
    const factor = await prepareHessianFactor(inputOf(hessian), solver);
    expect(factor.deadColumns).toEqual(dead);
    const upper = upperOf(factor);
    for (const column of dead) expect(upper[column * 71]).toBeCloseTo(expected[column * 71]!, 6);
  });
});

describe('a Hessian that is not positive definite', () => {
  /** Diagonal 1; one pair of columns is correlated by 1 + `excess`: definite once the damping is more than that. */
  function indefinite(columns: number, excess: number): Float32Array {
    const hessian = new Float32Array(columns * columns);
    for (let i = 0; i < columns; i++) hessian[i * columns + i] = 1;
    hessian[3 * columns + 9] = 1 + excess;
    hessian[9 * columns + 3] = 1 + excess;
    return hessian;
  }

  test.each([
    { excess: 0.05, raises: [{ from: 0.01, to: 0.1, column: 3 }] },
    {
      excess: 0.5,
      raises: [
        { from: 0.01, to: 0.1, column: 3 },
        { from: 0.1, to: 1, column: 3 },
      ],
    },
  ])('by $excess is damped more, and each raise is told', async ({ excess, raises }) => {
    for (const columns of [40, 150]) {
      const told: DampingRaise[] = [];
      const hessian = indefinite(columns, excess);
      const expected = plainFactor(hessian, columns, raises.at(-1)!.to);
      const factor = await prepareHessianFactor(inputOf(hessian), solver, (raise) => told.push(raise), SMALL_TILES);
      expect(told).toEqual(raises);
      expect(factor.dampingFraction).toBe(raises.at(-1)!.to);
      // The Hessian of the second try is that of the first.
      const worst = upperOf(factor).reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i]!)), 0);
      expect(worst).toBeLessThan(1e-5);
    }
  });

  test('by more than the last raise fails, with layer and linears named', async () => {
    const told: DampingRaise[] = [];
    const work = prepareHessianFactor(inputOf(indefinite(80, 1.5)), solver, (raise) => told.push(raise));
    const error = (await work.catch((thrown) => thrown)) as SecateurError;
    expect(error.code).toBe('CalibrationInvalid');
    expect(error.message).toContain('layer 7, self_attn.q_proj, self_attn.k_proj');
    expect(error.details).toMatchObject({ layer: 7, linears: ['self_attn.q_proj', 'self_attn.k_proj'], column: 3 });
    expect(error.details.dampingTried).toEqual(['0.01', '0.1', '1']);
    expect(told.length).toBe(2);
  });

  test('because a value is not finite is no matter of damping', async () => {
    for (const [row, column, value] of [
      [70, 3, Number.NaN],
      [70, 3, Infinity],
      [5, 5, Infinity],
      [5, 5, Number.NaN],
    ] as const) {
      const hessian = randomHessian(80, 100, 1);
      hessian[row * 80 + column] = value;
      hessian[column * 80 + row] = value;
      const told: DampingRaise[] = [];
      const work = prepareHessianFactor(inputOf(hessian), solver, (raise) => told.push(raise));
      await expect(work).rejects.toMatchObject({
        code: 'NonFiniteValue',
        details: { layer: 7, column: row, value: String(value) },
      });
      expect(told).toEqual([]);
    }
  });
});

test.each([0, -1, Number.NaN, Infinity])('a damping fraction of %d is refused', async (dampingFraction) => {
  const work = prepareHessianFactor(inputOf(Float32Array.of(1), dampingFraction), solver);
  await expect(work).rejects.toMatchObject({ code: 'ArgumentInvalid', details: { layer: 7 } });
});
