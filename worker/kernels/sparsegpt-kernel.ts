/**
 * The compiled kernel of SparseGPT's blocks (sparsegpt.wasm, from assembly/sparsegpt/) with a memory of its own.
 *
 * A block comes and goes by copies: its weights and errors, each [columns, rows] float32, and what the threads of the
 * runtime read stays outside. Memory: 8 bytes for each weight of the largest block so far (8 MiB for 128 columns of 8192
 * rows); 4 GiB is WebAssembly's limit.
 */
import { readFile } from 'node:fs/promises';
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import { createKernelMemory } from './kernel.ts';
import { MEMORY_PAGES_MAX, WASM_PAGE_BYTES } from './kernel-layout.ts';

/** Words of the Block of assembly/sparsegpt/index.ts, in its order. */
const WORD = {
  columns: 0,
  rows: 1,
  stride: 2,
  group: 3,
  prunedPerGroup: 4,
  threshold: 5,
  rank: 6,
  weights: 7,
  errors: 8,
  factor: 9,
  histogram: 10,
  stripWeights: 11,
  stripErrors: 12,
  stripMasks: 13,
} as const;
const BLOCK_BYTES = 128;
const HISTOGRAM_BYTES = 2048 * 4;
const STRIP_ROWS = 32;

/** What to prune in a block of columns. */
export type BlockChoice =
  /** Every weight whose score is at most that of this rank among all scores of the block, 0 the least. */
  | { readonly kind: 'rank'; readonly rank: number }
  /** In every `group` consecutive columns of a row, all but the `keep` of greatest score. */
  | { readonly kind: 'group'; readonly keep: number; readonly group: number };

export interface SparseGptBlock {
  /** For errors. */
  readonly linear: string;
  readonly rows: number;
  readonly columns: number;
  /** [columns, rows]: the weights of column after column; afterwards those that stay, 0 for the others. */
  readonly weights: Float32Array;
  /** [columns, rows], written: (weight - what stayed of it) / U[column, column]. */
  readonly errors: Float32Array;
  /** [columns, columns]: this block of U, dense. */
  readonly factor: Float32Array;
  readonly choice: BlockChoice;
}

interface KernelExports {
  readonly selectThreshold: (block: number) => number;
  readonly pruneBlock: (block: number) => void;
}

export class SparseGptKernel {
  private readonly memory = createKernelMemory();
  private readonly exports: KernelExports;

  private constructor(module: WebAssembly.Module) {
    const instance = new WebAssembly.Instance(module, { env: { memory: this.memory } });
    this.exports = instance.exports as unknown as KernelExports;
  }

  static async create(): Promise<SparseGptKernel> {
    const bytes = await readFile(new URL('./sparsegpt.wasm', import.meta.url));
    return new SparseGptKernel(await WebAssembly.compile(bytes));
  }

  /**
   * Prunes a block, column by column, each change followed up in the columns after it. Columns of a choice by groups are
   * a multiple of the group. Throws LimitExceeded where the block does not fit the kernel's memory.
   */
  prune(block: SparseGptBlock): void {
    const { rows, columns, weights, errors, factor, choice } = block;
    const length = rows * columns;
    invariant(weights.length === length && errors.length === length, 'a block holds rows * columns weights');
    invariant(factor.length === columns * columns, 'the factor of a block is square');
    if (length === 0) return;
    const layout = this.layOut(block);
    const words = new Int32Array(this.memory.buffer, layout.block, BLOCK_BYTES / 4);
    const floats = new Float32Array(this.memory.buffer);
    words.fill(0);
    for (const [name, value] of Object.entries(layout.words)) words[WORD[name as keyof typeof WORD]] = value;
    floats.set(factor, layout.words.factor / 4);
    const { stride } = layout.words;
    for (let column = 0; column < columns; column++) {
      const at = layout.words.weights / 4 + column * stride;
      floats.set(weights.subarray(column * rows, (column + 1) * rows), at);
      floats.fill(0, at + rows, at + stride);
    }
    if (choice.kind === 'rank') {
      invariant(choice.rank >= 0 && choice.rank < length, 'a rank is one of those that there are');
      words[WORD.rank] = choice.rank;
      floats[layout.block / 4 + WORD.threshold] = this.exports.selectThreshold(layout.block);
    } else {
      invariant(columns % choice.group === 0, 'groups do not cross blocks');
      words[WORD.group] = choice.group;
      words[WORD.prunedPerGroup] = choice.group - choice.keep;
    }
    this.exports.pruneBlock(layout.block);
    for (let column = 0; column < columns; column++) {
      const at = column * stride;
      const pruned = layout.words.weights / 4 + at;
      const error = layout.words.errors / 4 + at;
      weights.set(floats.subarray(pruned, pruned + rows), column * rows);
      errors.set(floats.subarray(error, error + rows), column * rows);
    }
  }

  /** Where everything of a block stands, behind the kernel's static data; the memory is as large as that. */
  private layOut({ linear, rows, columns }: SparseGptBlock) {
    const stride = Math.ceil(rows / STRIP_ROWS) * STRIP_ROWS;
    let end = WASM_PAGE_BYTES;
    const take = (sizeBytes: number) => {
      const address = end;
      end += Math.ceil(sizeBytes / 64) * 64;
      return address;
    };
    const block = take(BLOCK_BYTES);
    const stripBytes = 4 * columns * STRIP_ROWS;
    const words = {
      ...{ columns, rows, stride, histogram: take(HISTOGRAM_BYTES) },
      ...{ stripWeights: take(stripBytes), stripErrors: take(stripBytes), stripMasks: take(stripBytes) },
      factor: take(4 * columns * columns),
      weights: take(4 * columns * stride),
      errors: take(4 * columns * stride),
    };
    const pages = Math.ceil(end / WASM_PAGE_BYTES);
    const held = this.memory.buffer.byteLength / WASM_PAGE_BYTES;
    try {
      if (pages > MEMORY_PAGES_MAX) throw new RangeError(`WebAssembly has at most ${MEMORY_PAGES_MAX} pages of 64 KiB`);
      if (pages > held) this.memory.grow(pages - held);
    } catch (cause) {
      throw new SecateurError(
        'LimitExceeded',
        `${linear}: blocks of ${columns} columns of ${rows} rows need ${pages} pages of kernel memory, 64 KiB each; they ` +
          'could not be had. Choose a smaller blockSize.',
        { cause, details: { linear, columns, rows, neededBytes: end } },
      );
    }
    return { block, words };
  }
}
