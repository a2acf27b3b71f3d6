/**
 * One thread of the pool: claims chunks of rows, reads them straight into the kernel's memory, prunes, writes them.
 *
 * Invariants:
 *  1. Chunks are claimed in ascending order, and a chunk that was claimed is finished or fails. So when chunk c fails,
 *     every chunk before it is looked at, by whichever thread: the first failure of a matrix is always found.
 *  2. A chunk with a failure is not written.
 */
import { readSync, writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../shared/errors/secateur-error.ts';
import { Kernel } from './kernel.ts';
import { type ChunkFailure, CONTROL, type FromThread, type PruneRequest, type ThreadData } from './kernel-messages.ts';

function prune(request: PruneRequest, kernel: Kernel, control: Int32Array): FromThread {
  const { matrix, selection, layout } = request;
  const area = layout.areas[request.area];
  invariant(area !== undefined, 'every thread has its area');
  kernel.begin(matrix, selection, layout, area);
  const chunkCount = Math.ceil(matrix.rows / layout.rowsPerChunk);
  let zeros = 0;
  while (true) {
    const chunk = Atomics.add(control, CONTROL.nextChunk, 1);
    if (chunk >= chunkCount || chunk > Atomics.load(control, CONTROL.lastChunk))
      return { type: 'done', zeros, failure: null };
    const result = pruneChunk(request, kernel, chunk);
    if (typeof result !== 'number') {
      lower(control, CONTROL.lastChunk, chunk);
      return { type: 'done', zeros, failure: result };
    }
    zeros += result;
  }
}

/** The zeros of the chunk afterwards, or why there is no such chunk. */
function pruneChunk(request: PruneRequest, kernel: Kernel, chunk: number): number | ChunkFailure {
  const { matrix, layout, source, destination } = request;
  const firstRow = chunk * layout.rowsPerChunk;
  const rows = Math.min(layout.rowsPerChunk, matrix.rows - firstRow);
  const position = firstRow * layout.rowSizeBytes;
  const bytes = kernel.chunk(rows * layout.rowSizeBytes);
  try {
    const read = transfer(readSync, source.descriptor, bytes, source.offset + position);
    if (read < bytes.length) {
      const expectedEnd = source.offset + matrix.rows * layout.rowSizeBytes;
      return { kind: 'shortRead', chunk, expectedEnd, foundEnd: source.offset + position + read };
    }
  } catch (thrown) {
    return systemFailure(thrown, chunk, 'source');
  }
  const result = kernel.run(rows);
  if (result.kind === 'nonFinite') {
    return { kind: 'nonFinite', chunk, row: firstRow + result.row, column: result.column };
  }
  try {
    const written = transfer(writeSync, destination.descriptor, bytes, destination.offset + position);
    invariant(written === bytes.length, 'a write that makes no progress throws');
  } catch (thrown) {
    return systemFailure(thrown, chunk, 'destination');
  }
  return result.zeros;
}

/** Reads or writes until all bytes are moved or a call moves none; a call may move fewer than it was asked to. */
function transfer(
  call: (descriptor: number, bytes: Uint8Array, offset: number, length: number, position: number) => number,
  descriptor: number,
  bytes: Uint8Array,
  position: number,
): number {
  let done = 0;
  while (done < bytes.length) {
    const moved = call(descriptor, bytes, done, bytes.length - done, position + done);
    if (moved === 0) break;
    done += moved;
  }
  return done;
}

function systemFailure(thrown: unknown, chunk: number, file: 'source' | 'destination'): ChunkFailure {
  const errno = (thrown as NodeJS.ErrnoException).code ?? null;
  return { kind: 'system', chunk, file, errno, message: thrown instanceof Error ? thrown.message : String(thrown) };
}

function lower(words: Int32Array, word: number, value: number): void {
  let found = Atomics.load(words, word);
  while (value < found) {
    const before = Atomics.compareExchange(words, word, found, value);
    if (before === found) return;
    found = before;
  }
}

function main(): void {
  invariant(parentPort !== null, 'the pool starts this file');
  const port = parentPort;
  const { module, memory, control } = workerData as ThreadData;
  const kernel = new Kernel(module, memory);
  const words = new Int32Array(control);
  port.on('message', (request: PruneRequest) => {
    port.postMessage(prune(request, kernel, words) satisfies FromThread);
  });
  port.postMessage({ type: 'ready' } satisfies FromThread);
}

main();
