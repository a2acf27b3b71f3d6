/** Random linears with correlated inputs for SparseGPT, and how far two prunings of one linear are apart. */
import { gaussian } from '../../worker/kernels/sample-weights.ts';
import { sharedFloats } from '../../worker/methods/sparsegpt/team.ts';
import { seededRandom } from './seeded-random.ts';

/** [I, I] float32: 2 Σ x x^T over `tokens` inputs of which neighbours are correlated and some columns are louder. */
export function randomHessian(
  columns: number,
  tokens: number,
  seed: number,
  dead: readonly number[] = [],
): Float32Array {
  const random = seededRandom(seed);
  const scale = Float64Array.from({ length: columns }, () => Math.exp(0.5 * gaussian(random)));
  const hessian = new Float64Array(columns * columns);
  const x = new Float64Array(columns);
  for (let token = 0; token < tokens; token++) {
    let carried = 0;
    for (let i = 0; i < columns; i++) {
      carried = 0.7 * carried + gaussian(random);
      x[i] = dead.includes(i) ? 0 : carried * scale[i]!;
    }
    for (let i = 0; i < columns; i++) {
      for (let j = i; j < columns; j++) hessian[i * columns + j]! += (2 * x[i]! * x[j]!) / tokens;
    }
  }
  for (let i = 0; i < columns; i++) for (let j = 0; j < i; j++) hessian[i * columns + j] = hessian[j * columns + i]!;
  return Float32Array.from(hessian);
}

export function randomWeights(length: number, seed: number): Float32Array {
  const random = seededRandom(seed);
  return Float32Array.from({ length }, () => 0.02 * gaussian(random));
}

/** A copy that all threads of a solver see. */
export function sharedCopy(values: Float32Array): Float32Array {
  const copy = sharedFloats(values.length);
  copy.set(values);
  return copy;
}

export interface Comparison {
  /** Share of all weights that are 0 on one side only. */
  readonly maskDiffers: number;
  readonly rowsAgreed: number;
  /** Norm of the difference over the norm, of the worst of the rows with the same mask. */
  readonly relative: number;
}

/** Weights [O, I] against others; a weight that is 0 counts as pruned. */
export function compareWeights(ours: ArrayLike<number>, theirs: ArrayLike<number>, columns: number): Comparison {
  let differing = 0;
  let rowsAgreed = 0;
  let relative = 0;
  for (let first = 0; first < ours.length; first += columns) {
    let inRow = 0;
    let rowDifference = 0;
    let rowNorm = 0;
    for (let i = first; i < first + columns; i++) {
      inRow += Number((ours[i] === 0) !== (theirs[i] === 0));
      rowDifference += (ours[i]! - theirs[i]!) ** 2;
      rowNorm += theirs[i]! ** 2;
    }
    differing += inRow;
    if (inRow > 0) continue;
    rowsAgreed++;
    if (rowDifference > 0) relative = Math.max(relative, Math.sqrt(rowDifference / rowNorm));
  }
  return { maskDiffers: differing / ours.length, rowsAgreed, relative };
}
