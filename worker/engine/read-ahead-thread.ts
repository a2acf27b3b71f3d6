/** The thread of read-ahead.ts: reads ranges of files and drops what it read; the system keeps it. */
import { closeSync, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import type { FileRange, ReadAheadAnswer, ReadAheadData, ReadAheadRequest } from './read-ahead.ts';

const { current } = workerData as ReadAheadData;
/** Large enough for the disk, small enough to be given up soon. */
const dropped = new Uint8Array(4 * 1024 * 1024);

function readRange({ file, offset, sizeBytes }: FileRange, isCurrent: () => boolean): number {
  const descriptor = openSync(file, 'r');
  let done = 0;
  try {
    while (done < sizeBytes && isCurrent()) {
      const read = readSync(descriptor, dropped, 0, Math.min(dropped.length, sizeBytes - done), offset + done);
      if (read === 0) break;
      done += read;
    }
  } finally {
    closeSync(descriptor);
  }
  return done;
}

parentPort?.on('message', ({ number, ranges }: ReadAheadRequest) => {
  const isCurrent = (): boolean => Atomics.load(current, 0) === number;
  let bytes = 0;
  try {
    for (const range of ranges) bytes += readRange(range, isCurrent);
  } catch {
    // The task that needs the file meets the same, and says it.
  }
  const answer: ReadAheadAnswer = { number, bytes };
  parentPort?.postMessage(answer);
});
