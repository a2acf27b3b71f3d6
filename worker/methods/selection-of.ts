/** What a manifest's choice means for one matrix: how many of a row, which of a group, the rank of a threshold. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import { checkSelection, type RowSelection } from '../kernels/selection.ts';

/** How many of a row's weights are zeroed: Python's `int(columns * sparsity)`, so 10 % of 64 are 6. */
export function prunedPerRow(columns: number, sparsity: number): number {
  return Math.floor(columns * sparsity);
}

/** Which of a matrix's sorted metrics is its threshold, from 0: Python's `int(numel * sparsity)`. */
export function thresholdRank(elements: number, sparsity: number): number {
  return Math.min(elements - 1, Math.floor(elements * sparsity));
}

/** The selection within rows, or within their groups. Throws ArgumentInvalid where the choice does not fit `columns`. */
export function rowSelection(choice: LinearChoice, columns: number, tensor: string): RowSelection {
  const selection = selectionOf(choice, columns, tensor);
  checkSelection(selection, tensor, columns);
  return selection;
}

function selectionOf(choice: LinearChoice, columns: number, tensor: string): RowSelection {
  switch (choice.kind) {
    case 'keepAll':
      return { kind: 'keepAll' };
    case 'pattern':
      return { kind: 'group', keep: choice.keep, group: choice.group };
    case 'unstructured':
      if (!(choice.sparsity >= 0 && choice.sparsity <= 1)) {
        throw new SecateurError(
          'ArgumentInvalid',
          `${tensor}: expected a sparsity from 0 to 1; found ${choice.sparsity}.`,
          { details: { tensor, sparsity: choice.sparsity } },
        );
      }
      return { kind: 'row', prunedPerRow: prunedPerRow(columns, choice.sparsity) };
  }
}
