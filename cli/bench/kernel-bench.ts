/**
 * Times the prune kernel beside a copy of the same bytes: threads that each copy their share of a matrix and prune the
 * copy, in place, again and again. Weights stand in the kernel's own memory, no file is touched.
 *
 * Memory: twice the weights of one measurement (the copy, and what is copied), kept for the next one.
 */
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { compileKernel, createKernelMemory, reserveMemory, writeTables } from '../../worker/kernels/kernel.ts';
import {
  CHUNK_BYTES,
  type KernelLayout,
  layoutKernelMemory,
  weightSizeBytes,
} from '../../worker/kernels/kernel-layout.ts';
import type { Selection } from '../../worker/kernels/selection.ts';
import { type BenchAnswer, type BenchRequest, type BenchThreadData, MEETING_BYTES } from './kernel-bench-messages.ts';

export interface KernelMeasurement {
  readonly dtype: FloatDtype;
  readonly columns: number;
  readonly selection: Selection;
  readonly threads: number;
  /** Of all threads together, rounded down to whole rows; what a thread has left over is at least a chunk of CHUNK_BYTES. */
  readonly sizeBytes: number;
  /** Whole rows, repeated until there are enough. */
  readonly weights: Uint8Array;
  readonly columnNorms: Float32Array;
  readonly warmups: number;
  readonly repeats: number;
}

/** All threads together: on two threads half of what each takes. */
export interface KernelTimes {
  readonly nsPerWeight: number;
  readonly copyNsPerWeight: number;
}

export class KernelBench implements AsyncDisposable {
  private readonly threads: readonly Worker[];
  private readonly memory: WebAssembly.Memory;

  private constructor(threads: readonly Worker[], memory: WebAssembly.Memory) {
    this.threads = threads;
    this.memory = memory;
  }

  /** @param threads the most that a measurement will use */
  static async start(threads: number): Promise<KernelBench> {
    const memory = createKernelMemory();
    const copyFile = new URL('../../worker/kernels/copy.wasm', import.meta.url);
    const data: BenchThreadData = {
      kernelModule: await compileKernel(),
      copyModule: await WebAssembly.compile(await readFile(copyFile)),
      memory,
      meeting: new SharedArrayBuffer(MEETING_BYTES),
    };
    const file = new URL('./kernel-bench-thread.ts', import.meta.url);
    return new KernelBench(
      Array.from({ length: threads }, () => new Worker(file, { workerData: data })),
      memory,
    );
  }

  /** Throws LimitExceeded where the machine does not give the memory. */
  async measure(measurement: KernelMeasurement): Promise<KernelTimes> {
    const { dtype, columns, selection, threads, columnNorms, warmups, repeats } = measurement;
    const rowSizeBytes = columns * weightSizeBytes(dtype);
    const rowsPerCall = Math.max(1, Math.floor(CHUNK_BYTES / rowSizeBytes));
    const rows = Math.max(rowsPerCall, Math.floor(measurement.sizeBytes / threads / rowSizeBytes));
    const matrix = { tensor: 'bench', dtype, rows: 2 * rows * threads, columns };
    const layout = layoutKernelMemory(matrix, threads, 2 * rows * rowSizeBytes);
    this.reserve(layout);
    writeTables(this.memory, layout, matrix, { kind: 'normed', columnNorms });
    this.writeWeights(layout, rows * rowSizeBytes, measurement.weights);
    const pass = { kind: 'prune', saliency: { kind: 'normed', seed: 0 }, selection } as const;
    const share = { matrix, pass, layout, threads, rows, rowsPerCall, warmups, repeats };
    const asked = layout.areas.map((_, area) => ask(this.threads[area] as Worker, { ...share, area }));
    const answers = await Promise.all(asked);
    return {
      nsPerWeight: together(answers.map(({ pruneNs }) => pruneNs / (rows * columns))),
      copyNsPerWeight: together(answers.map(({ copyNs }) => copyNs / (rows * columns))),
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }

  private reserve(layout: KernelLayout): void {
    try {
      reserveMemory(this.memory, layout);
    } catch (cause) {
      const mebibytes = Math.ceil(layout.totalPages / 16);
      throw new SecateurError(
        'LimitExceeded',
        `the bench needs ${mebibytes} MiB for the weights and their copy; the machine refused them. Measure fewer.`,
        { cause, details: { mebibytes } },
      );
    }
  }

  private writeWeights(layout: KernelLayout, shareBytes: number, weights: Uint8Array): void {
    for (const { chunk } of layout.areas) {
      const pristine = new Uint8Array(this.memory.buffer, chunk + shareBytes, shareBytes);
      for (let at = 0; at < shareBytes; at += weights.length) {
        pristine.set(weights.subarray(0, Math.min(weights.length, shareBytes - at)), at);
      }
    }
  }
}

async function ask(thread: Worker, request: BenchRequest): Promise<BenchAnswer> {
  // An error of the thread rejects.
  const answer = once(thread, 'message');
  thread.postMessage(request);
  return (await answer)[0] as BenchAnswer;
}

/** Threads side by side: their rates add up. */
function together(nsPerWeight: readonly number[]): number {
  return 1 / nsPerWeight.reduce((rate, ns) => rate + 1 / ns, 0);
}
