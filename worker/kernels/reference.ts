/**
 * The kernel's reference: slow and obviously right. Sorts every row, or every group, by metric and then by column.
 * Tests compare the WebAssembly kernel with it, byte for byte.
 * Source: prune_wanda in locuslab/wanda at 8e8fc87, lib/prune.py.
 */
import { invariant } from '../../shared/errors/secateur-error.ts';
import { checkSaliency } from './saliency.ts';
import {
  checkMatrix,
  checkSelection,
  type MatrixDescription,
  nonFiniteWeight,
  type RowSelection,
} from './selection.ts';

/** Weights as stored: the bits of BF16 and F16, numbers of F32. */
export type StoredWeights = Uint16Array | Float32Array;

/**
 * weights: [O, I] row-major, changed in place: chosen ones become +0. columnNorms: [I].
 * Returns how many zeros (of either sign) the matrix holds afterwards.
 * Throws as checkMatrix and checkSelection do, and NonFiniteValue for the first non-finite weight: then nothing changed.
 */
export function pruneReference(
  matrix: MatrixDescription,
  weights: StoredWeights,
  columnNorms: Float32Array,
  selection: RowSelection,
): { zeros: number } {
  const { tensor, rows, columns } = matrix;
  checkMatrix(matrix);
  checkSaliency({ kind: 'normed', columnNorms }, tensor, columns);
  checkSelection(selection, tensor, columns);
  invariant(weights.length === rows * columns, `${tensor} has rows times columns weights`);
  invariant(weights instanceof Float32Array === (matrix.dtype === 'F32'), `${tensor} is stored as its dtype says`);
  const values = Float32Array.from(weights, (stored) => widenWeight(matrix.dtype, stored));
  const bad = values.findIndex((value) => !Number.isFinite(value));
  if (bad >= 0) throw nonFiniteWeight(tensor, Math.floor(bad / columns), bad % columns);

  const metrics = values.map((value, i) => Math.abs(value) * (columnNorms[i % columns] as number));
  const { width, pruned } = segments(selection, columns);
  for (let first = 0; first < weights.length; first += width) {
    const order = Array.from({ length: width }, (_, i) => first + i);
    order.sort((a, b) => compare(metrics[a] as number, metrics[b] as number) || a - b);
    for (const chosen of order.slice(0, pruned)) weights[chosen] = 0;
  }
  return { zeros: weights.filter((stored) => widenWeight(matrix.dtype, stored) === 0).length };
}

/** One stored weight as the float32 that it stands for. */
export function widenWeight(dtype: MatrixDescription['dtype'], stored: number): number {
  if (dtype === 'F32') return stored;
  if (dtype === 'BF16') return new Float32Array(Uint32Array.of(stored << 16).buffer)[0] as number;
  return new Float16Array(Uint16Array.of(stored).buffer)[0] as number;
}

function segments(selection: RowSelection, columns: number): { width: number; pruned: number } {
  if (selection.kind === 'row') return { width: columns, pruned: selection.prunedPerRow };
  if (selection.kind === 'group') return { width: selection.group, pruned: selection.group - selection.keep };
  return { width: columns, pruned: 0 };
}

/** Not a difference: two infinite metrics have none. */
function compare(a: number, b: number): number {
  if (a < b) return -1;
  return a > b ? 1 : 0;
}
