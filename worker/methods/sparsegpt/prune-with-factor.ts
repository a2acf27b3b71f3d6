/** SparseGPT on one linear, given the factor of its input's Hessian: what is asked is checked, then swept on all threads. */
import { invariant, SecateurError } from '../../../shared/errors/secateur-error.ts';
import type { LinearChoice } from '../../../shared/manifest/select-linears.ts';
import { checkSelection, nonFiniteWeight } from '../../kernels/selection.ts';
import type { PartOutcome } from './column-sweep.ts';
import type { HessianFactor } from './hessian-factor.ts';
import type { Solver } from './solver.ts';
import { isShared } from './team.ts';

/** The reference's `blocksize`. */
export const BLOCK_SIZE = 128;

export interface LinearInput {
  /** For errors. */
  readonly layer: number;
  readonly linear: string;
  /** [O, I] float32, row-major, finite, in shared memory; changed in place. */
  readonly weights: Float32Array;
  /** O */
  readonly rows: number;
  readonly choice: LinearChoice;
  /** Columns over which one threshold is chosen and whose mask is fixed at once; see pruneWithFactor. */
  readonly blockSize: number;
}

/**
 * Prunes and updates the weights [O, I] of a linear whose input has the factor. `zeros` counts those they hold afterwards.
 *
 * - keepAll, and unstructured with sparsity 0: nothing changes. (The reference would prune one weight a block.)
 * - unstructured: in each block of blockSize columns (the last may be narrower) of all rows, every weight whose score
 *   w²/U[c,c]² is at most that of rank int(O * columns * sparsity): one more than the share, and all ties. With sparsity
 *   1 all of them (the reference has no such rank).
 * - pattern: groups are chosen on weights that the groups before have updated; of equal scores the lower column is pruned.
 *   The size of a block does not enter into that choice, so blocks are shortened to whole groups (or made one group long):
 *   no group crosses blocks, whatever blockSize is.
 * - Dead columns become 0 first. In a group they are pruned first, their scores being 0.
 *
 * O * I² operations. Memory beside weights and factor: the weights once more, and over all threads 4 * 1024 * O bytes for
 * errors (32 MiB for 8192 rows), and 5 MiB a thread. The same bytes for any number of threads.
 *
 * @throws ArgumentInvalid a sparsity, pattern or blockSize that does not fit
 * @throws NonFiniteValue a weight that is not finite, before (then nothing is changed) or after
 * @throws LimitExceeded a block that does not fit a kernel's memory
 * @throws EngineFailed
 */
export async function pruneWithFactor(
  input: LinearInput,
  factor: HessianFactor,
  solver: Solver,
): Promise<{ zeros: number }> {
  const { linear, weights, rows, choice } = input;
  const { columns, upper, deadColumns } = factor;
  invariant(weights.length === rows * columns, 'weights and factor have as many columns');
  invariant(isShared(weights), 'the weights stand where all threads see them');
  checkChoice(input, columns);
  if (choice.kind === 'keepAll' || (choice.kind === 'unstructured' && choice.sparsity === 0)) {
    return { zeros: countZeros(input, columns) };
  }
  const blockSize = alignedBlockSize(input);
  const parts = await solver.sweep({ linear, weights, rows, choice, blockSize, upper, deadColumns });
  return { zeros: parts.reduce((zeros, part) => zeros + zerosOf(part, input), 0) };
}

/** @throws NonFiniteValue */
function zerosOf(part: PartOutcome, input: LinearInput): number {
  if (part.kind === 'done') return part.zeros;
  if (part.kind === 'stopped') return 0; // The part that stopped it throws.
  const { when, row, column, value } = part;
  if (when === 'before') throw nonFiniteWeight(nameOf(input), row, column);
  throw new SecateurError(
    'NonFiniteValue',
    `${nameOf(input)}: expected that the update of the weights stays within float32; found ${value} in row ` +
      `${row}, column ${column} (both counted from 0). Calibrate on more samples, or set a greater dampingFraction.`,
    { details: { layer: input.layer, linear: input.linear, row, column } },
  );
}

/** @throws NonFiniteValue for the first weight that is not finite */
function countZeros(input: LinearInput, columns: number): number {
  let zeros = 0;
  for (let index = 0; index < input.weights.length; index++) {
    const weight = input.weights[index] as number;
    if (!Number.isFinite(weight)) throw nonFiniteWeight(nameOf(input), Math.floor(index / columns), index % columns);
    zeros += weight === 0 ? 1 : 0;
  }
  return zeros;
}

/** Blocks of whole groups. */
function alignedBlockSize({ choice, blockSize }: LinearInput): number {
  if (choice.kind !== 'pattern') return blockSize;
  return Math.max(1, Math.floor(blockSize / choice.group)) * choice.group;
}

function checkChoice(input: LinearInput, columns: number): void {
  const { choice, blockSize } = input;
  const name = nameOf(input);
  if (!Number.isInteger(blockSize) || blockSize < 1) {
    throw new SecateurError(
      'ArgumentInvalid',
      `${name}: expected a blockSize of a whole number of columns, 1 or more; found ${blockSize}.`,
      { details: { layer: input.layer, linear: input.linear, blockSize } },
    );
  }
  if (choice.kind === 'pattern') {
    checkSelection({ kind: 'group', keep: choice.keep, group: choice.group }, name, columns);
  } else if (choice.kind === 'unstructured' && !(choice.sparsity >= 0 && choice.sparsity <= 1)) {
    throw new SecateurError('ArgumentInvalid', `${name}: expected a sparsity from 0 to 1; found ${choice.sparsity}.`, {
      details: { layer: input.layer, linear: input.linear, sparsity: choice.sparsity },
    });
  }
}

function nameOf({ layer, linear }: LinearInput): string {
  return `layer ${layer}, ${linear}`;
}
