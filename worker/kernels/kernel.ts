/**
 * The compiled kernel (prune.wasm, from assembly/) on a shared memory: one instance for one thread.
 *
 * Invariants:
 *  1. An instance writes only its own area of the memory and, through writeNorms, the norms before any thread starts.
 *  2. The job block is cleared for every matrix: what one matrix taught the guess does not reach the next.
 */
import { readFile } from 'node:fs/promises';
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { type KernelLayout, MEMORY_PAGES_MAX, type ThreadArea, WASM_PAGE_BYTES } from './kernel-layout.ts';
import type { MatrixDescription, Selection } from './selection.ts';

/** The numbers of assembly/job.ts. */
const DTYPE_NUMBER: Readonly<Record<FloatDtype, number>> = { BF16: 0, F16: 1, F32: 2 };
const NON_FINITE = -1;

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
  badRow: 9,
  badColumn: 10,
} as const;
const JOB_WORDS = 32;

type RowFunction = (job: number, weights: number, rows: number) => number;

interface KernelExports {
  readonly pruneRows: RowFunction;
  readonly pruneGroups: RowFunction;
  readonly inspectRows: RowFunction;
}

/** What one call did: the zeros that its rows hold now, or where the first non-finite weight is. */
export type ChunkResult =
  | { readonly kind: 'done'; readonly zeros: number }
  | { readonly kind: 'nonFinite'; readonly row: number; readonly column: number };

export async function compileKernel(): Promise<WebAssembly.Module> {
  return WebAssembly.compile(await readFile(new URL('./prune.wasm', import.meta.url)));
}

export function createKernelMemory(): WebAssembly.Memory {
  return new WebAssembly.Memory({ initial: 1, maximum: MEMORY_PAGES_MAX, shared: true });
}

/** Grows the memory to what a layout needs; never shrinks. May throw RangeError where the machine has no more. */
export function reserveMemory(memory: WebAssembly.Memory, layout: KernelLayout): void {
  const pages = memory.buffer.byteLength / WASM_PAGE_BYTES;
  if (pages < layout.totalPages) memory.grow(layout.totalPages - pages);
}

/** columnNorms: [I], checked. 16-bit weights want even and odd columns apart (assembly/widen.ts). */
export function writeNorms(
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
  private prune: RowFunction;

  constructor(module: WebAssembly.Module, memory: WebAssembly.Memory) {
    const instance = new WebAssembly.Instance(module, { env: { memory } });
    this.memory = memory;
    this.exports = instance.exports as unknown as KernelExports;
    this.prune = this.exports.inspectRows;
  }

  /** Prepares this instance for a matrix, in its area. The memory holds the layout and its norms. */
  begin(matrix: MatrixDescription, selection: Selection, layout: KernelLayout, area: ThreadArea): void {
    // Another thread grew the memory: growing by nothing makes this thread's view as long.
    this.memory.grow(0);
    invariant(this.memory.buffer.byteLength >= layout.totalPages * WASM_PAGE_BYTES, 'the kernel memory is reserved');
    this.area = area;
    this.job = new Int32Array(this.memory.buffer, area.job, JOB_WORDS);
    this.job.fill(0);
    this.job[JOB_WORD.dtype] = DTYPE_NUMBER[matrix.dtype];
    this.job[JOB_WORD.columns] = matrix.columns;
    this.job[JOB_WORD.normsEven] = layout.normsEven;
    this.job[JOB_WORD.normsOdd] = layout.normsOdd;
    this.job[JOB_WORD.keys] = area.keys;
    this.job[JOB_WORD.candidates] = area.candidates;
    this.job[JOB_WORD.metrics] = area.metrics;
    this.prune = this.exports.inspectRows;
    if (selection.kind === 'row') {
      this.job[JOB_WORD.pruned] = selection.prunedPerRow;
      this.prune = this.exports.pruneRows;
    } else if (selection.kind === 'group') {
      this.job[JOB_WORD.pruned] = selection.group - selection.keep;
      this.job[JOB_WORD.group] = selection.group;
      this.prune = this.exports.pruneGroups;
    }
  }

  /** The bytes of this instance's chunk. */
  chunk(sizeBytes: number): Uint8Array<ArrayBufferLike> {
    invariant(this.area !== null, 'begin comes before chunk');
    return new Uint8Array(this.memory.buffer, this.area.chunk, sizeBytes);
  }

  /** Prunes the first `rows` rows of the chunk in place. `row` of a result counts from the chunk's first. */
  run(rows: number): ChunkResult {
    invariant(this.area !== null, 'begin comes before run');
    const zeros = this.prune(this.area.job, this.area.chunk, rows);
    if (zeros !== NON_FINITE) return { kind: 'done', zeros };
    return {
      kind: 'nonFinite',
      row: this.job[JOB_WORD.badRow] as number,
      column: this.job[JOB_WORD.badColumn] as number,
    };
  }
}
