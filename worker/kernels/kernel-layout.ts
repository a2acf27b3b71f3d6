/**
 * Where everything stands in the memory that the threads share:
 *
 *     0            64 KiB          one area per thread, each beginning on a page
 *     | static data | norms | tables | … | job block | scratch | chunk of rows | …
 *
 * Norms and tables are of the matrix being pruned: written before the threads start on it, only read after (sums of
 * columns: each block of rows has its own, written by the one thread that has claimed it). An area belongs to its thread
 * alone.
 *
 * Bound, in bytes, C columns of s bytes: 64 Ki + 4 C + threads * (max(1 MiB, s C) + scratch), where scratch is 10 C.
 * 16 threads on [*, 22016] in BF16: 20 MiB. What some passes need more:
 *     counts of keys        256 Ki a thread
 *     cumulative            8 C + 16 Ki a thread, 8 Ki tables
 *     relative metrics      4 C tables
 *     sums of columns       8 C tables for each of at most 32 blocks
 * One row always fits a chunk; 4 GiB is WebAssembly's limit.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';

export const WASM_PAGE_BYTES = 65536;
export const MEMORY_PAGES_MAX = 65536;

/** Rows of about so many bytes are read, pruned and written at once: they stay in a core's second-level cache. */
export const CHUNK_BYTES = 1024 * 1024;

const STATIC_BYTES = WASM_PAGE_BYTES;
const AREA_ALIGNMENT_BYTES = 4096;
const CACHE_LINE_BYTES = 64;
/** Room for the words of the Job block (assembly/job.ts). */
const JOB_BYTES = 128;
/** The kernel pads keys to 32 columns and metrics to 4. */
const SCRATCH_PADDING_COLUMNS = 64;

/** What a pass needs beside norms, scratch and chunk. */
export interface LayoutNeeds {
  readonly tableBytes: number;
  readonly counterBytes: number;
  readonly sorts: boolean;
}

const NO_NEEDS: LayoutNeeds = { tableBytes: 0, counterBytes: 0, sorts: false };

/** Counters of the digits that a sort looks at (assembly/sort.ts). */
const DIGITS_BYTES = 2048 * 4;

export interface ThreadArea {
  readonly job: number;
  readonly keys: number;
  readonly candidates: number;
  readonly metrics: number;
  readonly counters: number;
  readonly digits: number;
  readonly sortFirst: number;
  readonly sortSecond: number;
  readonly chunk: number;
}

export interface KernelLayout {
  readonly normsEven: number;
  readonly normsOdd: number;
  readonly tables: number;
  readonly areas: readonly ThreadArea[];
  readonly rowSizeBytes: number;
  readonly rowsPerChunk: number;
  readonly totalPages: number;
}

export function weightSizeBytes(dtype: FloatDtype): number {
  return dtype === 'F32' ? 4 : 2;
}

/** Throws LimitExceeded where rows are so long that the threads' chunks do not fit 4 GiB. */
export function layoutKernelMemory(
  matrix: { readonly tensor: string; readonly dtype: FloatDtype; readonly rows: number; readonly columns: number },
  threads: number,
  chunkBytes = CHUNK_BYTES,
  needs: LayoutNeeds = NO_NEEDS,
): KernelLayout {
  const { tensor, dtype, rows, columns } = matrix;
  const rowSizeBytes = columns * weightSizeBytes(dtype);
  const rowsPerChunk = Math.max(1, Math.min(rows, Math.floor(chunkBytes / rowSizeBytes)));
  const scratchColumns = alignUp(columns, CACHE_LINE_BYTES) + SCRATCH_PADDING_COLUMNS;
  const normsEven = STATIC_BYTES;
  // F32 takes the norms in order; halves are as long either way.
  const normsOdd = normsEven + alignUp(Math.ceil(columns / 2) * 4, CACHE_LINE_BYTES);
  const tables = normsEven + 2 * (normsOdd - normsEven);
  let end = alignUp(tables + needs.tableBytes, AREA_ALIGNMENT_BYTES);
  const areas: ThreadArea[] = [];
  for (let thread = 0; thread < threads; thread++) {
    const job = end;
    const metrics = job + JOB_BYTES;
    const candidates = metrics + scratchColumns * 4;
    const keys = candidates + scratchColumns * 4;
    const counters = alignUp(keys + scratchColumns * 2, CACHE_LINE_BYTES);
    const digits = counters + alignUp(needs.counterBytes, CACHE_LINE_BYTES);
    const sortFirst = digits + (needs.sorts ? DIGITS_BYTES : 0);
    const sortSecond = sortFirst + (needs.sorts ? scratchColumns * 4 : 0);
    const chunk = alignUp(sortSecond + (needs.sorts ? scratchColumns * 4 : 0), AREA_ALIGNMENT_BYTES);
    areas.push({ job, keys, candidates, metrics, counters, digits, sortFirst, sortSecond, chunk });
    end = alignUp(chunk + rowsPerChunk * rowSizeBytes, AREA_ALIGNMENT_BYTES);
  }
  const totalPages = Math.ceil(end / WASM_PAGE_BYTES);
  if (totalPages > MEMORY_PAGES_MAX) {
    throw new SecateurError(
      'LimitExceeded',
      `${tensor}: rows of ${columns} columns on ${threads} threads need ${end} bytes of kernel memory; ` +
        `at most ${MEMORY_PAGES_MAX * WASM_PAGE_BYTES} can be had. Use fewer threads.`,
      { details: { tensor, columns, threads, neededBytes: end } },
    );
  }
  return { normsEven, normsOdd, tables, areas, rowSizeBytes, rowsPerChunk, totalPages };
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
