/**
 * How fast a folder's file system takes bytes and gives them back. One file of some megabytes, written and removed.
 *
 * Writing is as the engine commits: buffered, then fdatasync. Reading goes past the page cache (O_DIRECT), for a layer
 * is read from the disk when it is read first; without that the figure would be the memory's. Where a file system has no
 * direct reads (tmpfs before Linux 6.6, some network mounts), the rate of writing stands for both: storage rarely reads
 * more slowly than it writes. A hypervisor or a disk with a cache of its own may still flatter the figure.
 */
import { randomBytes } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { makeDirectory } from '../../shared/storage/make-directory.ts';
import { writeFully } from '../../shared/storage/write-fully.ts';

const CHUNK_BYTES = 4 * 1024 * 1024;
const PAGE_BYTES = 64 * 1024;
/** First so much; where that went quickly, so much in its place. */
const SIZES_BYTES = [2 * CHUNK_BYTES, 12 * CHUNK_BYTES];
const QUICK_MS = 60;

export interface StorageRates {
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
}

/** @throws what the file system throws: the folder cannot be made or written, the disk is full */
export async function measureStorage(directory: string): Promise<StorageRates> {
  await makeDirectory(directory, 'cache folder');
  const file = join(directory, `.measure-${process.pid}`);
  // Direct reads need an aligned target: WebAssembly's memory begins at a page, a Buffer's does not.
  const pages = CHUNK_BYTES / PAGE_BYTES;
  const chunk = new Uint8Array(new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true }).buffer);
  // Zeros are what a file system may keep without writing them.
  chunk.set(randomBytes(CHUNK_BYTES));
  try {
    let rates: StorageRates = { readBytesPerSecond: 0, writeBytesPerSecond: 0 };
    for (const sizeBytes of SIZES_BYTES) {
      const writeMs = await writeMsOf(file, chunk, sizeBytes);
      const writeBytesPerSecond = perSecond(sizeBytes, writeMs);
      const readMs = await directReadMsOf(file, chunk, sizeBytes);
      rates = {
        readBytesPerSecond: readMs === null ? writeBytesPerSecond : perSecond(sizeBytes, readMs),
        writeBytesPerSecond,
      };
      if (writeMs + (readMs ?? 0) > QUICK_MS) break;
    }
    return rates;
  } finally {
    await rm(file, { force: true });
  }
}

async function writeMsOf(file: string, chunk: Uint8Array, sizeBytes: number): Promise<number> {
  const handle = await open(file, 'w');
  try {
    const started = performance.now();
    for (let done = 0; done < sizeBytes; done += chunk.length) await writeFully(handle, chunk, done);
    await handle.datasync();
    return performance.now() - started;
  } finally {
    await handle.close();
  }
}

/** Null where the file system has no direct reads. */
async function directReadMsOf(file: string, chunk: Uint8Array, sizeBytes: number): Promise<number | null> {
  let handle: FileHandle | null = null;
  try {
    handle = await open(file, constants.O_RDONLY | (constants.O_DIRECT ?? 0));
    if (constants.O_DIRECT === undefined) return null;
    const started = performance.now();
    for (let done = 0; done < sizeBytes; done += chunk.length) {
      if ((await handle.read(chunk, 0, chunk.length, done)).bytesRead !== chunk.length) return null;
    }
    return performance.now() - started;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'EINVAL') return null;
    throw thrown;
  } finally {
    await handle?.close();
  }
}

function perSecond(sizeBytes: number, ms: number): number {
  return (sizeBytes / Math.max(ms, 0.001)) * 1000;
}
