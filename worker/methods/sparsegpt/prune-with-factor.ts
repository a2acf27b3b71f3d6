/**
 * SparseGPT on one linear: weights are pruned column by column, and every error is made up for by the weights that are
 * still to come, as the factor of the Hessian says.
 *
 * Source: IST-DASLab/sparsegpt at 147d215, sparsegpt.py, fasterprune; arXiv 2301.00774, algorithm 1. Float32 throughout,
 * as there; only the order in which the updates of later blocks are added up differs.
 */
import { invariant, SecateurError } from '../../../shared/errors/secateur-error.ts';
import type { LinearChoice } from '../../../shared/manifest/select-linears.ts';
import { checkSelection, nonFiniteWeight } from '../../kernels/selection.ts';
import type { BlockChoice, SparseGptKernel } from '../../kernels/sparsegpt-kernel.ts';
import type { HessianFactor } from './hessian-factor.ts';
import { lengthOf, type MatrixProduct, pack, type Range, rangesOf } from './matrix-product.ts';
import { transpose } from './transpose.ts';

/** The reference's `blocksize`. */
export const BLOCK_SIZE = 128;

/** Columns whose errors are kept before all later columns are told: products of so many terms run near full speed. */
const ERROR_COLUMNS = 1024;
/** Later columns that are told at once. */
const UPDATE_COLUMNS = 2048;

export interface LinearInput {
  /** For errors. */
  readonly layer: number;
  readonly linear: string;
  /** [O, I] float32, row-major, finite; changed in place. */
  readonly weights: Float32Array;
  /** O */
  readonly rows: number;
  readonly choice: LinearChoice;
  /** Columns over which one threshold is chosen and whose mask is fixed at once; see pruneWithFactor. */
  readonly blockSize: number;
}

export interface SolverTools {
  readonly product: MatrixProduct;
  readonly kernel: SparseGptKernel;
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
 * O * I² operations. Memory beside weights and factor: the weights once more, 4 * 1024 * (O + 2048) bytes for errors and
 * factors (40 MiB for 8192 rows), and the kernel's. The same bytes for any number of threads.
 *
 * @throws ArgumentInvalid a sparsity, pattern or blockSize that does not fit
 * @throws NonFiniteValue a weight that is not finite, before or after
 * @throws LimitExceeded a block that does not fit the kernel
 * @throws EngineFailed
 */
export async function pruneWithFactor(
  input: LinearInput,
  factor: HessianFactor,
  tools: SolverTools,
): Promise<{ zeros: number }> {
  const { weights, rows, choice } = input;
  const { columns } = factor;
  invariant(weights.length === rows * columns, 'weights and factor have as many columns');
  checkChoice(input, columns);
  const before = inspect(input, columns, 'before');
  if (choice.kind === 'keepAll' || (choice.kind === 'unstructured' && choice.sparsity === 0)) return before;
  // [I, O]: columns that follow one another are one dense matrix, which the runtime updates where it is.
  const byColumn = new Float32Array(weights.length);
  transpose(weights, rows, columns, byColumn);
  for (const column of factor.deadColumns) byColumn.fill(0, column * rows, (column + 1) * rows);
  await new ColumnSweep(input, byColumn, factor, tools).run();
  transpose(byColumn, columns, rows, weights);
  return inspect(input, columns, 'after');
}

class ColumnSweep {
  private readonly input: LinearInput;
  /** [I, O] */
  private readonly byColumn: Float32Array;
  private readonly factor: HessianFactor;
  private readonly tools: SolverTools;
  private readonly blockSize: number;
  /** Errors of the columns in hand, [errorColumns, O], and the columns of U that belong to them. */
  private readonly errorColumns: number;
  private readonly errors: Float32Array;
  private readonly packed: Float32Array;

  constructor(input: LinearInput, byColumn: Float32Array, factor: HessianFactor, tools: SolverTools) {
    this.input = input;
    this.byColumn = byColumn;
    this.factor = factor;
    this.tools = tools;
    this.blockSize = alignedBlockSize(input);
    this.errorColumns = this.blockSize * Math.max(1, Math.floor(ERROR_COLUMNS / this.blockSize));
    const errorColumns = Math.min(this.errorColumns, factor.columns);
    this.errors = new Float32Array(errorColumns * input.rows);
    this.packed = new Float32Array(errorColumns * Math.max(errorColumns, Math.min(UPDATE_COLUMNS, factor.columns)));
  }

  async run(): Promise<void> {
    const all = { begin: 0, end: this.factor.columns };
    for (const range of rangesOf(all, this.errorColumns)) {
      await this.prune(range, range.begin);
      await this.update(range, { begin: range.end, end: all.end }, range.begin);
    }
  }

  /** Columns of whole blocks: the first half, what follows for the second, the second. Errors begin with `first`'s. */
  private async prune(range: Range, first: number): Promise<void> {
    const blocks = Math.ceil(lengthOf(range) / this.blockSize);
    if (blocks <= 1) return this.pruneBlock(range, first);
    const middle = range.begin + Math.ceil(blocks / 2) * this.blockSize;
    await this.prune({ begin: range.begin, end: middle }, first);
    await this.update({ begin: range.begin, end: middle }, { begin: middle, end: range.end }, first);
    await this.prune({ begin: middle, end: range.end }, first);
  }

  private pruneBlock(range: Range, first: number): void {
    const { linear, rows, choice } = this.input;
    const columns = lengthOf(range);
    this.tools.kernel.prune({
      ...{ linear, rows, columns },
      weights: this.columnsOf(range),
      errors: this.errorsOf(range, first),
      factor: pack(this.factor.upper, range, range, this.packed).values,
      choice: blockChoice(choice, rows * columns),
    });
  }

  /** Columns `later` -= their part of U times the errors of the columns `earlier`. */
  private async update(earlier: Range, later: Range, first: number): Promise<void> {
    const { rows } = this.input;
    for (const range of rangesOf(later, UPDATE_COLUMNS)) {
      const out = { values: this.columnsOf(range), rows: lengthOf(range), columns: rows };
      await this.tools.product.accumulate({
        left: pack(this.factor.upper, earlier, range, this.packed),
        right: { values: this.errorsOf(earlier, first), rows: lengthOf(earlier), columns: rows },
        ...{ transposed: 'left', effect: 'subtract', out },
      });
    }
  }

  private columnsOf({ begin, end }: Range): Float32Array {
    return this.byColumn.subarray(begin * this.input.rows, end * this.input.rows);
  }

  private errorsOf({ begin, end }: Range, first: number): Float32Array {
    return this.errors.subarray((begin - first) * this.input.rows, (end - first) * this.input.rows);
  }
}

/** Blocks of whole groups. */
function alignedBlockSize({ choice, blockSize }: LinearInput): number {
  if (choice.kind !== 'pattern') return blockSize;
  return Math.max(1, Math.floor(blockSize / choice.group)) * choice.group;
}

function blockChoice(choice: LinearChoice, weights: number): BlockChoice {
  if (choice.kind === 'pattern') return { kind: 'group', keep: choice.keep, group: choice.group };
  invariant(choice.kind === 'unstructured', 'a linear that keeps all has no blocks');
  return { kind: 'rank', rank: Math.min(weights - 1, Math.floor(weights * choice.sparsity)) };
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

/** How many weights are 0. Throws NonFiniteValue for the first that is not finite. */
function inspect(input: LinearInput, columns: number, when: 'before' | 'after'): { zeros: number } {
  const { weights } = input;
  let zeros = 0;
  let difference = 0;
  // One pass without a branch: a weight less itself is 0, or not a number.
  for (let index = 0; index < weights.length; index++) {
    const weight = weights[index] as number;
    zeros += weight === 0 ? 1 : 0;
    difference += weight - weight;
  }
  if (difference === 0) return { zeros };
  const index = weights.findIndex((weight) => !Number.isFinite(weight));
  const [row, column] = [Math.floor(index / columns), index % columns];
  if (when === 'before') throw nonFiniteWeight(nameOf(input), row, column);
  throw new SecateurError(
    'NonFiniteValue',
    `${nameOf(input)}: expected that the update of the weights stays within float32; found ${weights[index]} in row ` +
      `${row}, column ${column} (both counted from 0). Calibrate on more samples, or set a greater dampingFraction.`,
    { details: { layer: input.layer, linear: input.linear, row, column } },
  );
}

function nameOf({ layer, linear }: LinearInput): string {
  return `layer ${layer}, ${linear}`;
}
