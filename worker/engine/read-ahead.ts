/**
 * Brings the next layer's bytes into the system's memory while the runtime computes this one. The engine's own thread
 * cannot: it is blocked inside the runtime. Nothing depends on it, and what goes wrong with it is nobody's concern: the
 * task that needs the bytes says so.
 */
import { Worker } from 'node:worker_threads';

/** Of the memory that is free for it, so that nothing that is in use gives way. */
const MEMORY_SHARE_MAX = 0.5;

/** Bytes of one file, from `offset` on. */
export interface FileRange {
  readonly file: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** What the thread is started with: the number of the request that counts; it gives up all others. */
export interface ReadAheadData {
  readonly current: Int32Array<SharedArrayBuffer>;
}

export interface ReadAheadRequest {
  readonly number: number;
  readonly ranges: readonly FileRange[];
}

/** The request that is over, and what was read of it. */
export interface ReadAheadAnswer {
  readonly number: number;
  readonly bytes: number;
}

export class ReadAhead {
  private readonly current = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  private thread: Worker | null = null;
  private readonly waiting = new Map<number, (bytes: number) => void>();

  /**
   * Begins to read; an earlier request is given up.
   *
   * @param availableBytes of memory, on this machine or in this container
   * @returns bytes read when the request is over: fewer than asked for where it was given up, failed, or memory is short
   */
  begin(ranges: readonly FileRange[], availableBytes = process.availableMemory()): Promise<number> {
    const number = Atomics.add(this.current, 0, 1) + 1;
    const sizeBytes = ranges.reduce((sum, range) => sum + range.sizeBytes, 0);
    if (sizeBytes > availableBytes * MEMORY_SHARE_MAX) return Promise.resolve(0);
    this.thread ??= this.start();
    const request: ReadAheadRequest = { number, ranges };
    this.thread.postMessage(request);
    return new Promise((resolve) => this.waiting.set(number, resolve));
  }

  private start(): Worker {
    const workerData: ReadAheadData = { current: this.current };
    const thread = new Worker(new URL('./read-ahead-thread.ts', import.meta.url), { workerData });
    // It keeps no engine alive.
    thread.unref();
    thread.on('message', ({ number, bytes }: ReadAheadAnswer) => this.answer(number, bytes));
    thread.on('error', () => {
      this.thread = null;
      for (const number of [...this.waiting.keys()]) this.answer(number, 0);
    });
    return thread;
  }

  private answer(number: number, bytes: number): void {
    this.waiting.get(number)?.(bytes);
    this.waiting.delete(number);
  }
}
