/**
 * What a weight is worth, as the kernel computes it: float32, never negative, least goes first. w: a weight of a matrix
 * [O, I], widened exactly; r and c: its row and column.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';

export type Saliency =
  /** |w| * columnNorms[c]; [I], finite and not negative. */
  | { readonly kind: 'normed'; readonly columnNorms: Float32Array }
  /** |w| */
  | { readonly kind: 'magnitude' }
  /**
   * (|w| / columnSums[c] + |w| / rowSum[r]) * columnFactors[c], both [I] and not negative, factors finite. A row's sum of
   * |w| is taken on the way, in float64, rounded to float32. A sum of 0 has only weights of 0, and they have metric 0; over
   * a sum that float32 cannot hold, infinity, a weight counts nothing.
   */
  | { readonly kind: 'relative'; readonly columnSums: Float32Array; readonly columnFactors: Float32Array }
  /** 30 bits that depend on `seed` (32 bits), r and c alone (assembly/saliency.ts). */
  | { readonly kind: 'random'; readonly seed: number };

/** Throws ArgumentInvalid for vectors of another length, NonFiniteValue for an entry that is no finite number >= 0. */
export function checkSaliency(saliency: Saliency, tensor: string, columns: number): void {
  if (saliency.kind === 'normed') checkColumns(saliency.columnNorms, 'norm', tensor, columns);
  if (saliency.kind === 'relative') {
    checkLength(saliency.columnSums, 'sum', tensor, columns);
    checkColumns(saliency.columnFactors, 'factor', tensor, columns);
  }
}

function checkLength(values: Float32Array, what: string, tensor: string, columns: number): void {
  if (values.length !== columns) {
    throw new SecateurError(
      'ArgumentInvalid',
      `${tensor}: expected one ${what} for each of its ${columns} columns; found ${values.length}.`,
      { details: { tensor, columns, found: values.length } },
    );
  }
}

function checkColumns(values: Float32Array, what: string, tensor: string, columns: number): void {
  checkLength(values, what, tensor, columns);
  const column = values.findIndex((value) => !(value >= 0 && value < Infinity));
  if (column >= 0) {
    throw new SecateurError(
      'NonFiniteValue',
      `${tensor}: expected the ${what} of every input column to be finite and not negative; found ${values[column]} ` +
        `in column ${column}. Look at the calibration of the layers before this linear.`,
      { details: { tensor, column, value: String(values[column]) } },
    );
  }
}
