/**
 * SparseGPT's sweep over the columns of a linear, on one thread's part of its rows: weights are pruned column by column, and
 * every error is made up for by the weights that are still to come, as the factor of the Hessian says. Rows have nothing to
 * do with one another, but that a block's threshold is one for all of them.
 *
 * Source: IST-DASLab/sparsegpt at 147d215, sparsegpt.py, fasterprune; arXiv 2301.00774, algorithm 1. Float32 throughout,
 * as there; only the order in which the updates of later blocks are added up differs.
 */
import type { LinearChoice } from '../../../shared/manifest/select-linears.ts';
import type { BlockChoice, SparseGptKernel } from '../../kernels/sparsegpt-kernel.ts';
import { lengthOf, type MatrixProduct, pack, type Range, rangesOf, type SquareMatrix } from './matrix-product.ts';
import type { Team } from './team.ts';

/** Columns whose errors are kept before all later columns are told: products of so many terms run near full speed. */
const ERROR_COLUMNS = 1024;
/** Later columns that are told at once. */
const UPDATE_COLUMNS = 512;
/** A part has as many rows or more, where the linear has: products of fewer columns cut their sums at other terms. */
export const PART_ROWS_MIN = 96;

export interface SweepTask {
  /** For errors. */
  readonly linear: string;
  /** [O, I] float32, row-major, in shared memory; changed in place. */
  readonly weights: Float32Array;
  /** O */
  readonly rows: number;
  readonly choice: Exclude<LinearChoice, { kind: 'keepAll' }>;
  /** Columns of a block: whole groups, where the choice is by groups. */
  readonly blockSize: number;
  /** [I, I] in shared memory: U on and above the diagonal, its transpose below. */
  readonly upper: SquareMatrix;
  readonly deadColumns: readonly number[];
}

export interface SweepTools {
  /** Of this thread alone. */
  readonly product: MatrixProduct;
  readonly kernel: SparseGptKernel;
  readonly team: Team;
}

/** What became of a part. */
export type PartOutcome =
  | { readonly kind: 'done'; readonly zeros: number }
  /** A weight was not finite before anything was changed, or is not afterwards: the part's first, rows counted in the matrix. */
  | {
      readonly kind: 'nonFinite';
      readonly when: 'before' | 'after';
      readonly row: number;
      readonly column: number;
      readonly value: number;
    }
  /** Nothing was changed, for another part has a weight that is not finite. */
  | { readonly kind: 'stopped' };

/**
 * Prunes and updates rows [begin, end) of the weights, one or more. Every thread of the team calls it with rows of its own.
 *
 * Memory: the part's weights once more, and 4 * 1024 * (rows + 1024) bytes for errors and factors.
 *
 * @throws LimitExceeded a part that does not fit the kernel's memory
 * @throws EngineFailed
 */
export async function sweepPart(task: SweepTask, rows: Range, tools: SweepTools): Promise<PartOutcome> {
  const { kernel, team } = tools;
  const columns = task.upper.size;
  const weights = task.weights.subarray(rows.begin * columns, rows.end * columns);
  const sweep = new ColumnSweep(task, lengthOf(rows), tools);
  kernel.load(weights);
  const allFinite = kernel.countZeros() !== null;
  const bad = Uint32Array.of(allFinite ? 0 : 1);
  team.sum(bad);
  if (bad[0] !== 0) return allFinite ? { kind: 'stopped' } : nonFinite('before', weights, rows, columns);
  for (const column of task.deadColumns) kernel.columns(column, column + 1).fill(0);
  await sweep.run();
  const zeros = kernel.countZeros();
  kernel.store(weights);
  return zeros === null ? nonFinite('after', weights, rows, columns) : { kind: 'done', zeros };
}

function nonFinite(when: 'before' | 'after', weights: Float32Array, rows: Range, columns: number): PartOutcome {
  const index = weights.findIndex((weight) => !Number.isFinite(weight));
  const [row, column] = [rows.begin + Math.floor(index / columns), index % columns];
  return { kind: 'nonFinite', when, row, column, value: weights[index] as number };
}

class ColumnSweep {
  private readonly task: SweepTask;
  private readonly tools: SweepTools;
  /** Columns whose errors are kept: whole blocks. */
  private readonly errorColumns: number;
  /** Parts of U. */
  private readonly packed: Float32Array;

  constructor(task: SweepTask, rows: number, tools: SweepTools) {
    this.task = task;
    this.tools = tools;
    const { linear, blockSize, upper } = task;
    const columns = upper.size;
    this.errorColumns = blockSize * Math.max(1, Math.floor(ERROR_COLUMNS / blockSize));
    const errorColumns = Math.min(this.errorColumns, columns);
    this.packed = new Float32Array(errorColumns * Math.min(UPDATE_COLUMNS, columns));
    tools.kernel.begin({ linear, rows, columns, errorColumns, blockColumns: Math.min(blockSize, columns) });
  }

  async run(): Promise<void> {
    const all = { begin: 0, end: this.task.upper.size };
    for (const range of rangesOf(all, this.errorColumns)) {
      await this.prune(range, range.begin);
      await this.update(range, { begin: range.end, end: all.end }, range.begin);
    }
  }

  /** Columns of whole blocks: the first half, what follows for the second, the second. Errors begin with `first`'s. */
  private async prune(range: Range, first: number): Promise<void> {
    const { blockSize } = this.task;
    const blocks = Math.ceil(lengthOf(range) / blockSize);
    if (blocks <= 1) return this.pruneBlock(range, first);
    const middle = range.begin + Math.ceil(blocks / 2) * blockSize;
    await this.prune({ begin: range.begin, end: middle }, first);
    await this.update({ begin: range.begin, end: middle }, { begin: middle, end: range.end }, first);
    await this.prune({ begin: middle, end: range.end }, first);
  }

  private pruneBlock(range: Range, first: number): void {
    const { choice, rows, upper } = this.task;
    const { kernel, team } = this.tools;
    const columns = lengthOf(range);
    const place = { first: range.begin, columns, firstError: range.begin - first };
    pack(upper, range, range, kernel.factor(columns));
    const chosen = blockChoice(choice, rows * columns);
    if (chosen.kind === 'group') return kernel.prune(place, chosen);
    const threshold = kernel.threshold(place, chosen.rank, (counts) => team.sum(counts));
    kernel.prune(place, { threshold });
  }

  /** Columns `later` -= their part of U times the errors of the columns `earlier`. */
  private async update(earlier: Range, later: Range, first: number): Promise<void> {
    const { kernel, product } = this.tools;
    const columns = kernel.stride;
    const right = kernel.errors(earlier.begin - first, earlier.end - first);
    for (const range of rangesOf(later, UPDATE_COLUMNS)) {
      const out = { values: kernel.columns(range.begin, range.end), rows: lengthOf(range), columns };
      // From below the diagonal: U's columns `range` as rows.
      await product.accumulate({
        left: pack(this.task.upper, range, earlier, this.packed),
        right: { values: right, rows: lengthOf(earlier), columns },
        ...{ transposed: 'none', effect: 'subtract', out },
      });
    }
  }
}

function blockChoice(choice: SweepTask['choice'], weights: number): BlockChoice {
  if (choice.kind === 'pattern') return { kind: 'group', keep: choice.keep, group: choice.group };
  return { kind: 'rank', rank: Math.min(weights - 1, Math.floor(weights * choice.sparsity)) };
}
