/**
 * SparseGPT as plainly as it can be written, in float64, for comparison: the reference's own steps (IST-DASLab/sparsegpt
 * at 147d215, fasterprune), the inverse of the Hessian formed and factored, one column after the other.
 */
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';

/** U [I, I], row-major, zeros below the diagonal: U^T U = (H + damping)^-1. NaN where H is not positive definite. */
export function plainFactor(hessian: ArrayLike<number>, columns: number, dampingFraction: number): Float64Array {
  const h = Float64Array.from(hessian);
  const at = (i: number, j: number) => i * columns + j;
  for (let i = 0; i < columns; i++) if (h[at(i, i)] === 0) h[at(i, i)] = 1;
  let mean = 0;
  for (let i = 0; i < columns; i++) mean += h[at(i, i)]! / columns;
  for (let i = 0; i < columns; i++) h[at(i, i)]! += dampingFraction * mean;
  return upperCholesky(plainInverse(h, columns), columns);
}

/** [I, I]: upper triangular with the transpose of itself times itself equal to the matrix. */
function upperCholesky(matrix: Float64Array, n: number): Float64Array {
  const u = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) {
      let sum = matrix[i * n + j]!;
      for (let k = 0; k < i; k++) sum -= u[k * n + i]! * u[k * n + j]!;
      u[i * n + j] = i === j ? Math.sqrt(sum) : sum / u[i * n + i]!;
    }
  }
  return u;
}

/** By the Cholesky factor's inverse. */
function plainInverse(matrix: Float64Array, n: number): Float64Array {
  const u = upperCholesky(matrix, n);
  // Rows of u^-1, upper triangular.
  const v = new Float64Array(n * n);
  for (let i = n - 1; i >= 0; i--) {
    v[i * n + i] = 1 / u[i * n + i]!;
    for (let k = i + 1; k < n; k++) {
      const left = u[i * n + k]! / u[i * n + i]!;
      for (let j = k; j < n; j++) v[i * n + j]! -= left * v[k * n + j]!;
    }
  }
  const inverse = new Float64Array(n * n);
  for (let i = 0; i < n; i++) {
    for (let j = 0; j < n; j++) {
      let sum = 0;
      for (let k = Math.max(i, j); k < n; k++) sum += v[i * n + k]! * v[j * n + k]!;
      inverse[i * n + j] = sum;
    }
  }
  return inverse;
}

/** Weights [O, I] as SparseGPT leaves them. Groups do not cross blocks here: blockSize is a multiple of the group. */
export function plainSparseGpt(
  weights: ArrayLike<number>,
  rows: number,
  columns: number,
  factor: Float64Array,
  dead: readonly number[],
  choice: LinearChoice,
  blockSize: number,
): Float64Array {
  const w = Float64Array.from(weights);
  for (const column of dead) for (let row = 0; row < rows; row++) w[row * columns + column] = 0;
  const scoreOf = (row: number, column: number) =>
    w[row * columns + column]! ** 2 / factor[column * columns + column]! ** 2;
  const mask = new Uint8Array(rows * columns);
  for (let begin = 0; begin < columns; begin += blockSize) {
    const end = Math.min(columns, begin + blockSize);
    if (choice.kind === 'unstructured') {
      const scores: number[] = [];
      for (let row = 0; row < rows; row++) for (let c = begin; c < end; c++) scores.push(scoreOf(row, c));
      const rank = Math.min(scores.length - 1, Math.floor(scores.length * choice.sparsity));
      const threshold = scores.slice().sort((a, b) => a - b)[rank]!;
      for (let row = 0; row < rows; row++) {
        for (let c = begin; c < end; c++) mask[row * columns + c] = Number(scoreOf(row, c) <= threshold);
      }
    }
    for (let column = begin; column < end; column++) {
      if (choice.kind === 'pattern' && (column - begin) % choice.group === 0) {
        for (let row = 0; row < rows; row++) {
          const group = Array.from({ length: choice.group }, (_, i) => column + i);
          group.sort((a, b) => scoreOf(row, a) - scoreOf(row, b) || a - b);
          for (const each of group.slice(0, choice.group - choice.keep)) mask[row * columns + each] = 1;
        }
      }
      for (let row = 0; row < rows; row++) {
        const at = row * columns + column;
        if (mask[at] === 0) continue;
        const error = w[at]! / factor[column * columns + column]!;
        w[at] = 0;
        for (let c = column + 1; c < columns; c++) w[row * columns + c]! -= error * factor[column * columns + c]!;
      }
    }
  }
  return w;
}
