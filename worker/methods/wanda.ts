/**
 * Wanda: saliency |w| * ‖x‖₂, compared within each row of output features.
 * Source: arXiv 2306.11695, section 3; locuslab/wanda at 8e8fc87, lib/layerwrapper.py (statistic) and lib/prune.py.
 */
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import { checkSelection, type Selection } from '../kernels/selection.ts';
import type { PruningMethod } from './method.ts';

export const wanda: PruningMethod = {
  name: 'wanda',
  columnNorms: ({ linear, inputNormSquared, samples }) => {
    invariant(Number.isInteger(samples) && samples > 0, `${linear}: a statistic comes from one sample or more`);
    // The reference divides by sequences, not tokens, and holds the quotient in float32.
    return columnNormsFromScaler(
      Float32Array.from(inputNormSquared, (sum) => sum / samples),
      linear,
    );
  },
  selection: wandaSelection,
};

/**
 * scaler: [I] float32, the reference's `scaler_row`: Σ x² / number of sequences. Norms [I] float32, its square root.
 * (A float64 root rounded to float32 is the float32 root, bit for bit.) Throws NonFiniteValue.
 */
export function columnNormsFromScaler(scaler: Float32Array, linear: string): Float32Array {
  const column = scaler.findIndex((value) => !(value >= 0 && value < Infinity));
  if (column >= 0) {
    throw new SecateurError(
      'NonFiniteValue',
      `${linear}: expected the calibration statistic of every input column to be finite and not negative; found ` +
        `${scaler[column]} in column ${column}. An activation before this linear overflowed or was not a number: look at ` +
        'the weights of the layers before it, or calibrate on other text.',
      { details: { linear, column, value: String(scaler[column]) } },
    );
  }
  return scaler.map(Math.sqrt);
}

/** How many of a row's weights are zeroed: Python's `int(columns * sparsity)`, so 10 % of 64 are 6. */
export function prunedPerRow(columns: number, sparsity: number): number {
  return Math.floor(columns * sparsity);
}

function wandaSelection(choice: LinearChoice, columns: number, linear: string): Selection {
  const selection = selectionOf(choice, columns, linear);
  checkSelection(selection, linear, columns);
  return selection;
}

function selectionOf(choice: LinearChoice, columns: number, linear: string): Selection {
  switch (choice.kind) {
    case 'keepAll':
      return { kind: 'keepAll' };
    case 'pattern':
      return { kind: 'group', keep: choice.keep, group: choice.group };
    case 'unstructured':
      if (!(choice.sparsity >= 0 && choice.sparsity <= 1)) {
        throw new SecateurError(
          'ArgumentInvalid',
          `${linear}: expected a sparsity from 0 to 1; found ${choice.sparsity}.`,
          { details: { linear, sparsity: choice.sparsity } },
        );
      }
      return { kind: 'row', prunedPerRow: prunedPerRow(columns, choice.sparsity) };
  }
}
