/**
 * U of a small diagonal part, where calls of the runtime would cost more than the arithmetic: plain loops in float64,
 * rounded once to float32 at the end.
 */
import type { Range, SquareMatrix } from './matrix-product.ts';

/** Such a part is [64, 64] at most: 0.2 ms, 32 KiB of float64. */
export const SMALL_SIZE_MAX = 64;

/**
 * matrix[range, range], on and above the diagonal: a symmetric matrix A before, U after, upper triangular with
 * U^T U = A^-1. Nothing below the diagonal is read or written.
 *
 * @returns the column whose pivot is not positive (or not a number), null where there is none
 */
export function invertSmall({ values, size }: SquareMatrix, range: Range): number | null {
  const { begin, end } = range;
  const n = end - begin;
  const a = new Float64Array(n * n);
  const at = (i: number, j: number) => i * n + j;
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) a[at(i, j)] = values[(begin + i) * size + begin + j] as number;
  }
  // A = R R^T, R upper triangular: Cholesky from the last column to the first.
  for (let k = n - 1; k >= 0; k--) {
    const pivot = a[at(k, k)] as number;
    if (!(pivot > 0)) return begin + k;
    const root = Math.sqrt(pivot);
    a[at(k, k)] = root;
    for (let i = 0; i < k; i++) (a[at(i, k)] as number) /= root;
    for (let i = 0; i < k; i++) {
      const left = a[at(i, k)] as number;
      for (let j = i; j < k; j++) (a[at(i, j)] as number) -= left * (a[at(j, k)] as number);
    }
  }
  // U = R^-1, row by row from the last: U[i, j] = -(sum of R[i, k] U[k, j], i < k <= j) / R[i, i].
  const row = new Float64Array(n);
  for (let i = n - 1; i >= 0; i--) {
    const inverse = 1 / (a[at(i, i)] as number);
    row.fill(0);
    for (let k = i + 1; k < n; k++) {
      const left = a[at(i, k)] as number;
      for (let j = k; j < n; j++) (row[j] as number) += left * (a[at(k, j)] as number);
    }
    a[at(i, i)] = inverse;
    for (let j = i + 1; j < n; j++) a[at(i, j)] = -(row[j] as number) * inverse;
  }
  for (let i = 0; i < n; i++) {
    for (let j = i; j < n; j++) values[(begin + i) * size + begin + j] = a[at(i, j)] as number;
  }
  return null;
}
