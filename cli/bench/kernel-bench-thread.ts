/** One thread of the kernel's bench: copies its share of the weights, prunes the copy, and says how long each took. */
import { parentPort, workerData } from 'node:worker_threads';
import { invariant } from '../../shared/errors/secateur-error.ts';
import { Kernel } from '../../worker/kernels/kernel.ts';
import { type BenchAnswer, type BenchRequest, type BenchThreadData, MEETING } from './kernel-bench-messages.ts';

/**
 * Shares from here on take long enough for others to take the processor away: they are timed by the thread's own time,
 * which Linux may count in steps of 4 ms, so that only the mean of the repeats says something. Shorter ones are timed by
 * the clock, and the least counts: what else runs on the machine only adds, and some repeat is left alone.
 */
const LONG_BYTES = 128 * 1024 * 1024;

type CopyBytes = (to: number, from: number, sizeBytes: number) => void;

/** Every step begins when all threads are there: what one does alone is not what it does beside others. */
function measure(request: BenchRequest, kernel: Kernel, copyBytes: CopyBytes, words: Int32Array): BenchAnswer {
  const { matrix, pass, layout, rows, rowsPerCall, threads, warmups, repeats } = request;
  const area = layout.areas[request.area];
  invariant(area !== undefined, 'every thread has its area');
  kernel.begin(matrix, pass, layout, area);
  const sizeBytes = rows * layout.rowSizeBytes;
  const isLong = sizeBytes >= LONG_BYTES;
  const nowNs = isLong ? processorNs : clockNs;
  const copyNs: number[] = [];
  const pruneNs: number[] = [];
  for (let repeat = -warmups; repeat < repeats; repeat++) {
    meet(words, threads);
    const begun = nowNs();
    copyBytes(area.chunk, area.chunk + sizeBytes, sizeBytes);
    const copied = nowNs();
    meet(words, threads);
    const resumed = nowNs();
    for (let first = 0; first < rows; first += rowsPerCall) {
      const result = kernel.run(Math.min(rowsPerCall, rows - first), first, first * layout.rowSizeBytes);
      invariant(result.kind === 'done', 'the weights of a bench are finite');
    }
    const pruned = nowNs();
    if (repeat < 0) continue;
    copyNs.push(copied - begun);
    pruneNs.push(pruned - resumed);
  }
  const typical = isLong ? mean : least;
  return { copyNs: typical(copyNs), pruneNs: typical(pruneNs) };
}

function clockNs(): number {
  return Number(process.hrtime.bigint());
}

/** Of this thread alone. */
function processorNs(): number {
  const { user, system } = process.threadCpuUsage();
  return (user + system) * 1000;
}

function least(values: readonly number[]): number {
  return Math.min(...values);
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function meet(words: Int32Array, threads: number): void {
  const met = Atomics.load(words, MEETING.met);
  if (Atomics.add(words, MEETING.arrived, 1) < threads - 1) {
    Atomics.wait(words, MEETING.met, met);
    return;
  }
  Atomics.store(words, MEETING.arrived, 0);
  Atomics.add(words, MEETING.met, 1);
  Atomics.notify(words, MEETING.met);
}

function main(): void {
  invariant(parentPort !== null, 'the bench starts this file');
  const port = parentPort;
  const { kernelModule, copyModule, memory, meeting } = workerData as BenchThreadData;
  const kernel = new Kernel(kernelModule, memory);
  const { copyBytes } = new WebAssembly.Instance(copyModule, { env: { memory } }).exports as { copyBytes: CopyBytes };
  const words = new Int32Array(meeting);
  port.on('message', (request: BenchRequest) => {
    port.postMessage(measure(request, kernel, copyBytes, words));
  });
}

main();
