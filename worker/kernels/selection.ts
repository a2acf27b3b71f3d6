/** What a kernel is to zero in a matrix, and the checks that a job must pass before a byte of it is read. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';

/** What is decided within each row. */
export type RowSelection =
  /** Copies; finiteness is still checked and zeros are counted. */
  | { readonly kind: 'keepAll' }
  /** In every row, the `prunedPerRow` weights of least metric. */
  | { readonly kind: 'row'; readonly prunedPerRow: number }
  /** In every `group` consecutive columns of a row, all but the `keep` weights of greatest metric. */
  | { readonly kind: 'group'; readonly keep: number; readonly group: number };

export type Selection =
  | RowSelection
  /** Every weight whose key is `key` or less. Keys: see KernelPool.countKeys. */
  | { readonly kind: 'below'; readonly key: number }
  /** In every row, the longest beginning of its sorted metrics with a sum of at most `alpha` of all, and what equals its end. */
  | { readonly kind: 'cumulative'; readonly alpha: number };

/** Metrics of one group are held at once. */
const GROUP_MAX = 1024;

/** What a job says about its matrix, apart from where the bytes are. */
export interface MatrixDescription {
  readonly tensor: string;
  readonly dtype: FloatDtype;
  /** Output features, O. */
  readonly rows: number;
  /** Input features, I. */
  readonly columns: number;
}

/** Throws ArgumentInvalid where the selection does not fit a matrix of so many columns. */
export function checkSelection(selection: Selection, tensor: string, columns: number): void {
  if (selection.kind === 'row') {
    const { prunedPerRow } = selection;
    if (!Number.isInteger(prunedPerRow) || prunedPerRow < 0 || prunedPerRow > columns) {
      throw new SecateurError(
        'ArgumentInvalid',
        `${tensor}: expected to prune a whole number from 0 to ${columns} of each row's weights; found ${prunedPerRow}.`,
        { details: { tensor, columns, prunedPerRow } },
      );
    }
  } else if (selection.kind === 'group') {
    const { keep, group } = selection;
    const fits = Number.isInteger(keep) && Number.isInteger(group) && keep >= 1 && keep < group && group <= GROUP_MAX;
    if (!fits) {
      throw new SecateurError(
        'ArgumentInvalid',
        `${tensor}: expected a pattern keep:group with 1 <= keep < group <= ${GROUP_MAX}; found ${keep}:${group}.`,
        { details: { tensor, keep, group } },
      );
    }
    if (columns % group !== 0) {
      throw new SecateurError(
        'ArgumentInvalid',
        `${tensor}: pattern ${keep}:${group} needs input features in multiples of ${group}; found ${columns}. ` +
          'Exclude this linear, or choose a pattern whose group divides its input features.',
        { details: { tensor, columns, keep, group } },
      );
    }
  }
}

/** Throws ArgumentInvalid for a shape that is none. */
export function checkMatrix(matrix: MatrixDescription): void {
  const { tensor, rows, columns } = matrix;
  if (!Number.isInteger(rows) || !Number.isInteger(columns) || rows < 0 || columns < 1) {
    throw new SecateurError(
      'ArgumentInvalid',
      `${tensor}: expected a matrix of whole numbers of rows and columns; found [${rows}, ${columns}].`,
      { details: { tensor, rows, columns } },
    );
  }
}

/** The error of a weight that is infinite or not a number. */
export function nonFiniteWeight(tensor: string, row: number, column: number): SecateurError {
  return new SecateurError(
    'NonFiniteValue',
    `${tensor}: expected finite weights; found an infinite one or one that is not a number in row ${row}, column ` +
      `${column} (both counted from 0). The checkpoint is damaged: download or convert it again.`,
    { details: { tensor, row, column } },
  );
}
