/**
 * The compiled kernel of SparseGPT's blocks (sparsegpt.wasm, from assembly/sparsegpt/) with a memory of its own, in which the
 * rows of one thread's part of a linear stay while their columns are pruned one block after the other. The memory is not
 * shared: ONNX Runtime reads and writes weights and errors where they are.
 *
 * Stored by column: [columns, stride], stride being the rows filled up with zeros to a multiple of STRIP_ROWS.
 */
import { readFile } from 'node:fs/promises';
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
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
  staged: 14,
  stagedStride: 15,
} as const;
const BLOCK_BYTES = 128;
const HISTOGRAM_BINS = 2048;
export const STRIP_ROWS = 32;
/** Rows that are a power of two apart would all want the same lines of the cache. */
const STAGED_GAP = 16;
/** Bits of a score, from the highest: first and width of each digit. */
const DIGITS = [
  [20, 11],
  [9, 11],
  [0, 9],
] as const;

/** What to prune in a block of columns. */
export type BlockChoice =
  /** Every weight whose score is at most that of this rank among all scores of the block, 0 the least. */
  | { readonly kind: 'rank'; readonly rank: number }
  /** In every `group` consecutive columns of a row, all but the `keep` of greatest score. */
  | { readonly kind: 'group'; readonly keep: number; readonly group: number };

/** What a thread has of a linear, and how much of it is in hand at once. */
export interface PartShape {
  /** For errors. */
  readonly linear: string;
  readonly rows: number;
  readonly columns: number;
  /** Columns of the widest block. */
  readonly blockColumns: number;
  /** Columns whose errors are kept. */
  readonly errorColumns: number;
}

export interface BlockPlace {
  /** The block's first column. */
  readonly first: number;
  readonly columns: number;
  /** Where its errors go: the first of their columns. */
  readonly firstError: number;
}

interface KernelExports {
  readonly beginSelection: (block: number) => void;
  readonly countDigits: (block: number, shift: number, width: number) => void;
  readonly takeDigit: (block: number, shift: number, width: number) => number;
  readonly pruneBlock: (block: number) => void;
  readonly takeStaged: (block: number, first: number) => void;
  readonly stage: (block: number, first: number) => void;
  readonly countZeros: (block: number) => number;
}

type Layout = ReturnType<typeof layOut>;

export class SparseGptKernel {
  private readonly memory = new WebAssembly.Memory<false>({ initial: 1, maximum: MEMORY_PAGES_MAX, shared: false });
  private readonly exports: KernelExports;
  private shape: PartShape = { linear: '', rows: 0, columns: 0, blockColumns: 0, errorColumns: 0 };
  private layout: Layout = layOut(this.shape);
  private words = new Int32Array();
  private floats = new Float32Array();

  constructor(module: WebAssembly.Module) {
    const instance = new WebAssembly.Instance(module, { env: { memory: this.memory } });
    this.exports = instance.exports as unknown as KernelExports;
  }

  static async compile(): Promise<WebAssembly.Module> {
    return WebAssembly.compile(await readFile(new URL('./sparsegpt.wasm', import.meta.url)));
  }

  /**
   * Room for a part: views of the one before are of no use any more. Memory: 4 bytes for each weight, 4 * errorColumns for
   * each row, and little more; 4 GiB is WebAssembly's limit.
   *
   * @throws LimitExceeded
   */
  begin(shape: PartShape): void {
    this.shape = shape;
    this.layout = layOut(shape);
    const pages = Math.ceil(this.layout.end / WASM_PAGE_BYTES);
    const held = this.memory.buffer.byteLength / WASM_PAGE_BYTES;
    try {
      if (pages > MEMORY_PAGES_MAX) throw new RangeError(`WebAssembly has at most ${MEMORY_PAGES_MAX} pages of 64 KiB`);
      if (pages > held) this.memory.grow(pages - held);
    } catch (cause) {
      const { linear, rows, columns, blockColumns } = shape;
      throw new SecateurError(
        'LimitExceeded',
        `${linear}: ${rows} of its rows of ${columns} columns, in blocks of ${blockColumns}, need ${pages} pages of kernel ` +
          'memory, 64 KiB each, on one thread; they could not be had. Use more threads, or choose a smaller blockSize.',
        { cause, details: { linear, rows, columns, blockColumns, neededBytes: this.layout.end } },
      );
    }
    this.words = new Int32Array(this.memory.buffer, this.layout.block, BLOCK_BYTES / 4);
    this.floats = new Float32Array(this.memory.buffer);
    this.words.fill(0);
    const { end, block, ...places } = this.layout;
    for (const [name, value] of Object.entries(places)) this.words[WORD[name as keyof typeof WORD]] = value;
    this.words[WORD.rows] = shape.rows;
  }

  /** Rows that a column has here. */
  get stride(): number {
    return this.layout.stride;
  }

  /** [columns, stride]: what the rows have in these columns. Neither columns nor errors move until the next `begin`. */
  columns(begin: number, end: number): Float32Array {
    return this.view(this.layout.weights, begin, end);
  }

  /** The same of the errors, which are (weight - what stayed of it) / U[column, column]. */
  errors(begin: number, end: number): Float32Array {
    return this.view(this.layout.errors, begin, end);
  }

  /** [columns, columns]: for the block of U, dense. */
  factor(columns: number): Float32Array {
    const first = this.layout.factor / 4;
    return this.floats.subarray(first, first + columns * columns);
  }

  /** Takes the part's rows, [rows, columns] as they are stored. */
  load(weights: Float32Array): void {
    const { rows, columns } = this.shape;
    this.selectColumns(0, columns);
    for (let first = 0; first < rows; first += STRIP_ROWS) {
      for (let row = 0; row < STRIP_ROWS; row++) {
        const staged = this.stagedRow(row);
        if (first + row >= rows) staged.fill(0);
        else staged.set(weights.subarray((first + row) * columns, (first + row + 1) * columns));
      }
      this.exports.takeStaged(this.layout.block, first);
    }
  }

  /** Gives them back. */
  store(weights: Float32Array): void {
    const { rows, columns } = this.shape;
    this.selectColumns(0, columns);
    for (let first = 0; first < rows; first += STRIP_ROWS) {
      this.exports.stage(this.layout.block, first);
      const end = Math.min(rows, first + STRIP_ROWS);
      for (let row = first; row < end; row++) weights.set(this.stagedRow(row - first), row * columns);
    }
  }

  /** How many weights of the part are 0, null where one is not finite. */
  countZeros(): number | null {
    const { rows, columns } = this.shape;
    this.selectColumns(0, columns);
    const zeros = this.exports.countZeros(this.layout.block);
    return zeros < 0 ? null : zeros - columns * (this.stride - rows);
  }

  /**
   * The score of this rank, 0 the least, among all scores w² / U[c, c]² of the block.
   *
   * @param sum adds up counts [HISTOGRAM_BINS], in place, over all threads that have rows of the linear; `rank` is then one
   * among all their scores
   */
  threshold(place: BlockPlace, rank: number, sum: (counts: Uint32Array) => void): number {
    this.selectBlock(place);
    const { block, histogram } = this.layout;
    this.words[WORD.rank] = rank;
    const counts = new Uint32Array(this.memory.buffer, histogram, HISTOGRAM_BINS);
    this.exports.beginSelection(block);
    const bits = new Uint32Array(1);
    for (const [shift, width] of DIGITS) {
      this.exports.countDigits(block, shift, width);
      sum(counts);
      bits[0] = (bits[0] as number) | (this.exports.takeDigit(block, shift, width) << shift);
    }
    return new Float32Array(bits.buffer)[0] as number;
  }

  /**
   * Prunes a block whose part of U is in `factor`, column by column, each change followed up in the columns after it:
   * weights become those that stay, and 0; errors are written.
   *
   * @param choice every weight whose score is at most `threshold`; or of each group, of which a block has whole ones only
   */
  prune(place: BlockPlace, choice: { readonly threshold: number } | Extract<BlockChoice, { kind: 'group' }>): void {
    this.selectBlock(place);
    if ('threshold' in choice) {
      this.words[WORD.group] = 0;
      this.floats[this.layout.block / 4 + WORD.threshold] = choice.threshold;
    } else {
      invariant(place.columns % choice.group === 0, 'groups do not cross blocks');
      this.words[WORD.group] = choice.group;
      this.words[WORD.prunedPerGroup] = choice.group - choice.keep;
    }
    this.exports.pruneBlock(this.layout.block);
  }

  private selectBlock({ first, columns, firstError }: BlockPlace): void {
    invariant(columns <= this.shape.blockColumns, 'no block is wider than was said');
    this.selectColumns(first, columns);
    this.words[WORD.errors] = this.layout.errors + 4 * firstError * this.stride;
  }

  private selectColumns(first: number, columns: number): void {
    this.words[WORD.columns] = columns;
    this.words[WORD.weights] = this.layout.weights + 4 * first * this.stride;
  }

  private stagedRow(row: number): Float32Array {
    const first = this.layout.staged / 4 + row * this.layout.stagedStride;
    return this.floats.subarray(first, first + this.shape.columns);
  }

  private view(address: number, begin: number, end: number): Float32Array {
    return this.floats.subarray(address / 4 + begin * this.stride, address / 4 + end * this.stride);
  }
}

/** Where everything of a part stands, behind the kernel's static data. Columns come in fours where rows are transposed. */
function layOut({ rows, columns, blockColumns, errorColumns }: PartShape) {
  const stride = Math.ceil(rows / STRIP_ROWS) * STRIP_ROWS;
  const transposed = Math.ceil(columns / 4) * 4;
  const stagedStride = transposed + STAGED_GAP;
  const stripBytes = 4 * blockColumns * STRIP_ROWS;
  let end = WASM_PAGE_BYTES;
  const take = (sizeBytes: number) => {
    const address = end;
    end += Math.ceil(sizeBytes / 64) * 64;
    return address;
  };
  const places = {
    ...{ stride, stagedStride },
    ...{ block: take(BLOCK_BYTES), histogram: take(4 * HISTOGRAM_BINS) },
    ...{ stripWeights: take(stripBytes), stripErrors: take(stripBytes), stripMasks: take(stripBytes) },
    factor: take(4 * blockColumns * blockColumns),
    staged: take(4 * STRIP_ROWS * stagedStride),
    errors: take(4 * errorColumns * stride),
    weights: take(4 * transposed * stride),
  };
  return { ...places, end };
}
