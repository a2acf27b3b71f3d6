/**
 * The compiled kernel (prune.wasm, from assembly/) on a shared memory: one instance for one thread.
 *
 * Invariants:
 *  1. An instance writes only its own area of the memory and the sums of its own blocks of rows. writeTables writes what
 *     all read, before any thread starts.
 *  2. The job block is cleared for every matrix: what one matrix taught the guess does not reach the next.
 */
import { readFile } from 'node:fs/promises';
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { type KernelLayout, MEMORY_PAGES_MAX, type ThreadArea, WASM_PAGE_BYTES } from './kernel-layout.ts';
import type { KernelPass } from './kernel-pass.ts';
import type { Saliency } from './saliency.ts';
import type { MatrixDescription, Selection } from './selection.ts';

/** The numbers of assembly/job.ts. */
const DTYPE_NUMBER: Readonly<Record<FloatDtype, number>> = { BF16: 0, F16: 1, F32: 2 };
const SALIENCY_NUMBER: Readonly<Record<Saliency['kind'], number>> = { normed: 0, magnitude: 1, relative: 2, random: 3 };
const NON_FINITE = -1;
const ALL_KEYS = -1;

/** Words of the Job block, in the order of assembly/job.ts. */
const JOB_WORD = {
  dtype: 0,
  columns: 1,
  pruned: 2,
  group: 3,
  normsEven: 4,
  normsOdd: 5,
  keys: 6,
  candidates: 7,
  metrics: 8,
  saliency: 9,
  seed: 10,
  firstRow: 11,
  key: 12,
  alpha: 13,
  alphaCount: 14,
  tables: 15,
  counters: 16,
  sortFirst: 17,
  sortSecond: 18,
  digits: 19,
  columnTotals: 20,
  badRow: 21,
  badColumn: 22,
} as const;
const JOB_WORDS = 32;

/** Words that point into a thread's area. */
const SCRATCH = ['keys', 'candidates', 'metrics', 'counters', 'sortFirst', 'sortSecond', 'digits'] as const;

type RowFunction = (job: number, weights: number, rows: number) => number;

interface KernelExports {
  readonly pruneRows: RowFunction;
  readonly pruneGroups: RowFunction;
  readonly pruneBelow: RowFunction;
  readonly pruneCumulative: RowFunction;
  readonly inspectRows: RowFunction;
  readonly countKeys: RowFunction;
  readonly countCumulative: RowFunction;
  readonly addColumnSums: RowFunction;
}

/** What one call did: the zeros that its rows hold now (0 of a pass that counts something else), or where the first non-finite weight is. */
export type ChunkResult =
  | { readonly kind: 'done'; readonly zeros: number }
  | { readonly kind: 'nonFinite'; readonly row: number; readonly column: number };

export async function compileKernel(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await readFile(new URL('./prune.wasm', import.meta.url)));
}

export function createKernelMemory(): WebAssembly.Memory<true> {
  return new WebAssembly.Memory<true>({ initial: 1, maximum: MEMORY_PAGES_MAX, shared: true });
}

/** Grows the memory to what a layout needs; never shrinks. May throw RangeError where the machine has no more. */
export function reserveMemory(memory: WebAssembly.Memory, layout: KernelLayout): void {
  const pages = memory.buffer.byteLength / WASM_PAGE_BYTES;
  if (pages < layout.totalPages) memory.grow(layout.totalPages - pages);
}

/** Writes the vectors of a saliency, checked, to where the kernel looks for them. */
export function writeTables(
  memory: WebAssembly.Memory,
  layout: KernelLayout,
  matrix: MatrixDescription,
  saliency: Saliency,
): void {
  const { columns, dtype } = matrix;
  if (saliency.kind === 'normed') writeNorms(memory, layout, dtype, saliency.columnNorms);
  if (saliency.kind === 'magnitude') writeNorms(memory, layout, dtype, new Float32Array(columns).fill(1));
  if (saliency.kind === 'relative') {
    new Float32Array(memory.buffer, layout.normsEven, columns).set(saliency.columnFactors.map((factor) => factor + 0));
    // A column that sums to 0 has no weight but 0: over 1 it is what its metric is to be.
    writeTable(
      memory,
      layout,
      saliency.columnSums.map((sum) => (sum === 0 ? 1 : sum)),
    );
  }
}

/** Column sums of a relative saliency, or alphas. */
export function writeTable(memory: WebAssembly.Memory, layout: KernelLayout, values: Float32Array): void {
  new Float32Array(memory.buffer, layout.tables, values.length).set(values);
}

/** columnNorms: [I]. 16-bit weights want even and odd columns apart (assembly/widen.ts). */
function writeNorms(
  memory: WebAssembly.Memory,
  layout: KernelLayout,
  dtype: FloatDtype,
  columnNorms: Float32Array,
): void {
  const columns = columnNorms.length;
  const even = new Float32Array(memory.buffer, layout.normsEven, dtype === 'F32' ? columns : Math.ceil(columns / 2));
  const odd = new Float32Array(memory.buffer, layout.normsOdd, Math.floor(columns / 2));
  // Adding 0 turns -0 into +0: a metric of -0 would order before all others.
  columnNorms.forEach((norm, column) => {
    if (dtype === 'F32') even[column] = norm + 0;
    else (column % 2 === 0 ? even : odd)[column >> 1] = norm + 0;
  });
}

export class Kernel {
  private readonly memory: WebAssembly.Memory;
  private readonly exports: KernelExports;
  private area: ThreadArea | null = null;
  private job: Int32Array<ArrayBufferLike> = new Int32Array(0);
  private pass: RowFunction;

  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory) {
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    this.memory = memory;
    this.exports = instance.exports as unknown as KernelExports;
    this.pass = this.exports.inspectRows;
  }

  /** Prepares this instance for a pass over a matrix, in its area. The memory holds the layout and its tables. */
  begin(matrix: MatrixDescription, pass: KernelPass, layout: KernelLayout, area: ThreadArea): void {
    // Another thread grew the memory: growing by nothing makes this thread's view as long.
    this.memory.grow(0);
    invariant(this.memory.buffer.byteLength >= layout.totalPages * WASM_PAGE_BYTES, 'the kernel memory is reserved');
    this.area = area;
    this.job = new Int32Array(this.memory.buffer, area.job, JOB_WORDS);
    this.job.fill(0);
    this.set('dtype', DTYPE_NUMBER[matrix.dtype]);
    this.set('columns', matrix.columns);
    for (const place of ['normsEven', 'normsOdd', 'tables'] as const) this.set(place, layout[place]);
    for (const place of SCRATCH) this.set(place, area[place]);
    if (pass.kind !== 'sumColumns') {
      this.set('saliency', SALIENCY_NUMBER[pass.saliency.kind]);
      this.set('seed', pass.saliency.seed);
    }
    this.pass = this.choosePass(pass);
  }

  private choosePass(pass: KernelPass): RowFunction {
    const { exports } = this;
    switch (pass.kind) {
      case 'prune':
        return this.chooseSelection(pass.selection);
      case 'countKeys':
        this.set('key', pass.upper ?? ALL_KEYS);
        return exports.countKeys;
      case 'countCumulative':
        this.set('alphaCount', pass.alphaCount);
        return exports.countCumulative;
      case 'sumColumns':
        return exports.addColumnSums;
    }
  }

  private chooseSelection(selection: Selection): RowFunction {
    const { exports } = this;
    switch (selection.kind) {
      case 'keepAll':
        return exports.inspectRows;
      case 'row':
        this.set('pruned', selection.prunedPerRow);
        return exports.pruneRows;
      case 'group':
        this.set('pruned', selection.group - selection.keep);
        this.set('group', selection.group);
        return exports.pruneGroups;
      case 'below':
        this.set('key', selection.key);
        return exports.pruneBelow;
      case 'cumulative':
        new Float32Array(this.job.buffer, this.job.byteOffset, JOB_WORDS)[JOB_WORD.alpha] = selection.alpha;
        return exports.pruneCumulative;
    }
  }

  private set(word: keyof typeof JOB_WORD, value: number): void {
    this.job[JOB_WORD[word]] = value;
  }

  /** Of a pass that sums columns: the block of rows that comes next, its sums cleared. */
  beginBlock(columnTotals: number, columns: number): void {
    this.set('columnTotals', columnTotals);
    new Float64Array(this.memory.buffer, columnTotals, columns).fill(0);
  }

  /** The bytes of this instance's chunk. */
  chunk(sizeBytes: number): Uint8Array<ArrayBufferLike> {
    invariant(this.area !== null, 'begin comes before chunk');
    return new Uint8Array(this.memory.buffer, this.area.chunk, sizeBytes);
  }

  /**
   * The pass over `rows` rows of the chunk from `offsetBytes` on, in place; `firstRow` is the first one's index in the
   * matrix. `row` of a result counts from that row.
   */
  run(rows: number, firstRow: number, offsetBytes = 0): ChunkResult {
    invariant(this.area !== null, 'begin comes before run');
    this.set('firstRow', firstRow);
    const zeros = this.pass(this.area.job, this.area.chunk + offsetBytes, rows);
    if (zeros !== NON_FINITE) return { kind: 'done', zeros };
    return {
      kind: 'nonFinite',
      row: this.job[JOB_WORD.badRow] as number,
      column: this.job[JOB_WORD.badColumn] as number,
    };
  }
}
