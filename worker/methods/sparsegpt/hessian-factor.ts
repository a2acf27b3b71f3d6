/**
 * From a Hessian as it was accumulated to what SparseGPT's update needs of it: U, upper triangular, U^T U = H^-1.
 * Linears with the same input share one: q, k and v; gate and up.
 *
 * Source: IST-DASLab/sparsegpt at 147d215, sparsegpt.py, fasterprune (dead columns, damping). What to do where the
 * factorization fails is ours: the reference dies there.
 */
import { invariant, SecateurError } from '../../../shared/errors/secateur-error.ts';
import { TILE_SIZES, type TileSizes } from './invert-cholesky.ts';
import type { SquareMatrix } from './matrix-product.ts';
import type { Solver } from './solver.ts';
import { isShared } from './team.ts';

/** The reference's `percdamp`. */
export const DAMPING_FRACTION = 0.01;

/** The damping of a factorization that fails grows so, and so often. */
const DAMPING_RAISE = 10;
const DAMPING_RAISES_MAX = 2;

/** Rows and columns that are copied across the diagonal at once: both sides stay in the first-level cache. */
const TRANSPOSE_TILE = 32;

export interface HessianInput {
  /**
   * [I, I] float32, row-major, symmetric, in shared memory: (2 / samples) * Σ x x^T over all tokens. Overwritten: the factor
   * lives in it, whatever becomes of the call.
   */
  readonly hessian: Float32Array;
  /** I */
  readonly columns: number;
  /** Of the mean of the diagonal, added to the diagonal; more than 0. */
  readonly dampingFraction: number;
  /** What the Hessian is of, for errors: a decoder layer and the linears that share it. */
  readonly layer: number;
  readonly linears: readonly string[];
}

/** Told before the factorization is tried again. */
export interface DampingRaise {
  /** The one that did not do. */
  readonly from: number;
  readonly to: number;
  /** Input column whose pivot was not positive. */
  readonly column: number;
}

export interface HessianFactor {
  readonly columns: number;
  /** [I, I]: U on and above the diagonal, its transpose below. */
  readonly upper: SquareMatrix;
  /** Input columns whose Hessian is 0: no calibration token ever had a value there. Ascending. */
  readonly deadColumns: readonly number[];
  /** The fraction with which the factorization succeeded. */
  readonly dampingFraction: number;
}

/**
 * In float32, in place: the factor is written over the Hessian's upper triangle, while the lower keeps the Hessian for
 * another try. Memory beside the Hessian itself (1.94 GB at 22016 columns): see invertCholesky, 54 MB a thread there.
 * 2/3 I^3 operations. The same bytes for any number of threads.
 *
 * @throws NonFiniteValue a Hessian with a value that is infinite or no number, with { layer, linears, column }
 * @throws CalibrationInvalid a Hessian that is not positive definite with 100 times the damping either, likewise, and
 * `dampingTried`: the fractions, in order
 * @throws ArgumentInvalid a dampingFraction that is no positive number
 * @throws EngineFailed
 */
export async function prepareHessianFactor(
  input: HessianInput,
  solver: Solver,
  onDampingRaised: (raise: DampingRaise) => void = () => undefined,
  sizes: TileSizes = TILE_SIZES,
): Promise<HessianFactor> {
  const { hessian, columns } = input;
  invariant(columns >= 1 && hessian.length === columns * columns, 'a Hessian is square, of one column or more');
  invariant(isShared(hessian), 'a Hessian stands where all threads see it');
  if (!(input.dampingFraction > 0 && input.dampingFraction < Infinity)) {
    throw new SecateurError(
      'ArgumentInvalid',
      `${nameOf(input)}: expected a damping fraction of more than 0; found ${input.dampingFraction}.`,
      { details: { layer: input.layer, linears: input.linears, dampingFraction: input.dampingFraction } },
    );
  }
  const matrix: SquareMatrix = { values: hessian, size: columns };
  const diagonal = diagonalOf(matrix);
  const deadColumns = [...diagonal.keys()].filter((column) => diagonal[column] === 0);
  for (const column of deadColumns) diagonal[column] = 1;
  const mean = Math.fround(diagonal.reduce((sum, value) => sum + value, 0) / columns);

  let dampingFraction = input.dampingFraction;
  const tried = [dampingFraction];
  for (let raises = 0; ; raises++) {
    writeDiagonal(matrix, diagonal, Math.fround(Math.fround(dampingFraction) * mean));
    const failed = Number.isFinite(mean) ? await solver.invert(matrix, sizes) : 0;
    if (failed === null) return { columns, upper: matrix, deadColumns, dampingFraction };
    checkFinite(matrix, diagonal, input);
    if (raises === DAMPING_RAISES_MAX) throw notPositiveDefinite(input, failed, tried);
    // 0.001, not 0.0009999999999999998.
    const raised = Number((dampingFraction * DAMPING_RAISE).toPrecision(12));
    onDampingRaised({ from: dampingFraction, to: raised, column: failed });
    dampingFraction = raised;
    tried.push(raised);
    mirrorLower(matrix);
  }
}

function diagonalOf({ values, size }: SquareMatrix): Float32Array {
  return Float32Array.from({ length: size }, (_, column) => values[column * size + column] as number);
}

function writeDiagonal({ values, size }: SquareMatrix, diagonal: Float32Array, damping: number): void {
  for (let column = 0; column < size; column++) values[column * size + column] = (diagonal[column] as number) + damping;
}

/** Copies what is below the diagonal to above it. */
function mirrorLower({ values, size }: SquareMatrix): void {
  for (let top = 0; top < size; top += TRANSPOSE_TILE) {
    const bottom = Math.min(size, top + TRANSPOSE_TILE);
    for (let first = top; first < size; first += TRANSPOSE_TILE) {
      const end = Math.min(size, first + TRANSPOSE_TILE);
      for (let row = top; row < bottom; row++) {
        for (let column = Math.max(first, row + 1); column < end; column++) {
          values[row * size + column] = values[column * size + row] as number;
        }
      }
    }
  }
}

/** Looks at the diagonal as it was and at what is below it. Only a failure leads here: no scan on the usual way. */
function checkFinite({ values, size }: SquareMatrix, diagonal: Float32Array, input: HessianInput): void {
  for (let row = 0; row < size; row++) {
    const begin = row * size;
    const below = values.subarray(begin, begin + row);
    const found = Number.isFinite(diagonal[row]) ? below.findIndex((value) => !Number.isFinite(value)) : row;
    if (found < 0) continue;
    const value = found === row ? diagonal[row] : below[found];
    throw new SecateurError(
      'NonFiniteValue',
      `${nameOf(input)}: expected a Hessian of finite values; found ${value} for input columns ${row} and ${found}. An ` +
        'activation before this linear overflowed or was not a number: look at the weights of the layers before it, or ' +
        'calibrate on other text.',
      { details: { layer: input.layer, linears: input.linears, column: row, value: String(value) } },
    );
  }
}

function notPositiveDefinite(input: HessianInput, column: number, tried: readonly number[]): SecateurError {
  return new SecateurError(
    'CalibrationInvalid',
    `${nameOf(input)}: expected a Hessian that is positive definite once damped; found that its Cholesky factorization ` +
      `fails at input column ${column} with ${input.dampingFraction} of the diagonal's mean and also with ${tried.at(-1)}. ` +
      'Calibrate on more samples or other text, or set a greater dampingFraction.',
    { details: { layer: input.layer, linears: input.linears, column, dampingTried: tried.map(String) } },
  );
}

function nameOf({ layer, linears }: HessianInput): string {
  return `layer ${layer}, ${linears.join(', ')}`;
}
