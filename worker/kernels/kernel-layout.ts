/**
 * Where everything stands in the memory that the threads share:
 *
 *     0            64 KiB          one area per thread, each beginning on a page
 *     | static data | norms | … | job block | scratch | chunk of rows | …
 *
 * The norms are of the matrix being pruned: written before the threads start on it, only read after. An area belongs to
 * its thread alone.
 *
 * Bound, in bytes, C columns of s bytes: 64 Ki + 4 C + threads * (max(1 MiB, s C) + scratch), where scratch is 10 C for
 * 16-bit weights and 4 C for F32. 16 threads on [*, 22016] in BF16: 20 MiB. One row always fits a chunk; 4 GiB is
 * WebAssembly's limit.
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

export interface ThreadArea {
  readonly job: number;
  readonly keys: number;
  readonly candidates: number;
  readonly metrics: number;
  readonly chunk: number;
}

export interface KernelLayout {
  readonly normsEven: number;
  readonly normsOdd: number;
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
): KernelLayout {
  const { tensor, dtype, rows, columns } = matrix;
  const rowSizeBytes = columns * weightSizeBytes(dtype);
  const rowsPerChunk = Math.max(1, Math.min(rows, Math.floor(chunkBytes / rowSizeBytes)));
  const scratchColumns = alignUp(columns, CACHE_LINE_BYTES) + SCRATCH_PADDING_COLUMNS;
  const normsEven = STATIC_BYTES;
  // F32 takes the norms in order; halves are as long either way.
  const normsOdd = normsEven + alignUp(Math.ceil(columns / 2) * 4, CACHE_LINE_BYTES);
  let end = alignUp(normsEven + 2 * (normsOdd - normsEven), AREA_ALIGNMENT_BYTES);
  const areas: ThreadArea[] = [];
  for (let thread = 0; thread < threads; thread++) {
    const job = end;
    const metrics = job + JOB_BYTES;
    const candidates = metrics + scratchColumns * 4;
    // Only rows of 16-bit weights are pruned by keys; groups and F32 need the metrics alone.
    const keys = candidates + (dtype === 'F32' ? 0 : scratchColumns * 4);
    const chunk = alignUp(keys + (dtype === 'F32' ? 0 : scratchColumns * 2), AREA_ALIGNMENT_BYTES);
    areas.push({ job, keys, candidates, metrics, chunk });
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
  return { normsEven, normsOdd, areas, rowSizeBytes, rowsPerChunk, totalPages };
}

function alignUp(value: number, alignment: number): number {
  return Math.ceil(value / alignment) * alignment;
}
