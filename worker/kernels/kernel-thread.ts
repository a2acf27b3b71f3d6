/**
 * One thread of the pool: claims blocks of chunks of rows, reads each chunk straight into the kernel's memory, has the
 * kernel's pass over it, and writes it where the pass prunes.
 *
 * Invariants:
 *  1. Blocks are claimed in ascending order, and a block that was claimed is finished or fails at its first failing chunk.
 *     So when chunk c fails, every chunk before it is looked at, by whichever thread: the first failure is always found.
 *  2. A chunk with a failure is not written.
 */
import { readSync, writeSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../shared/errors/secateur-error.ts';
import { Kernel } from './kernel.ts';
import { type ChunkFailure, CONTROL, type FromThread, type PassRequest, type ThreadData } from './kernel-messages.ts';

function runPass(request: PassRequest, kernel: Kernel, control: Int32Array): FromThread {
  const { matrix, layout, chunksPerBlock } = request;
  const area = layout.areas[request.area];
  invariant(area !== undefined, 'every thread has its area');
  kernel.begin(matrix, request.pass, layout, area);
  const chunkCount = Math.ceil(matrix.rows / layout.rowsPerChunk);
  const blockCount = Math.ceil(chunkCount / chunksPerBlock);
  let zeros = 0;
  while (true) {
    const block = Atomics.add(control, CONTROL.nextBlock, 1);
    if (block >= blockCount || block > Atomics.load(control, CONTROL.lastBlock))
      return { type: 'done', zeros, failure: null };
    if (request.pass.kind === 'sumColumns') {
      kernel.beginBlock(layout.tables + block * matrix.columns * 8, matrix.columns);
    }
    const end = Math.min(chunkCount, (block + 1) * chunksPerBlock);
    for (let chunk = block * chunksPerBlock; chunk < end; chunk++) {
      const result = runChunk(request, kernel, chunk);
      if (typeof result !== 'number') {
        lower(control, CONTROL.lastBlock, block);
        return { type: 'done', zeros, failure: result };
      }
      zeros += result;
    }
  }
}

/** The zeros of the chunk afterwards, or why there is no such chunk. */
function runChunk(request: PassRequest, kernel: Kernel, chunk: number): number | ChunkFailure {
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
  const result = kernel.run(rows, firstRow);
  if (result.kind === 'nonFinite') {
    return { kind: 'nonFinite', chunk, row: firstRow + result.row, column: result.column };
  }
  if (destination === null) return result.zeros;
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
  port.on('message', (request: PassRequest) => {
    port.postMessage(runPass(request, kernel, words) satisfies FromThread);
  });
  port.postMessage({ type: 'ready' } satisfies FromThread);
}

main();
