/**
 * Threads that prune matrices from file to file, one matrix at a time, all threads on it.
 *
 * Invariants:
 *  1. The output is a function of the job alone: not of the number of threads, nor of which thread took which rows.
 *  2. Descriptors are closed only when no thread can use them any more: a number that is closed is soon another file's.
 *  3. A thread that dies ends the pool: the job in hand and all later ones are rejected with the same error.
 *
 * Memory, whatever the size of the matrix: see kernel-layout.ts (about 1.3 MiB a thread at 22016 columns in BF16).
 */
import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { Worker } from 'node:worker_threads';
import { invariant, SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { compileKernel, createKernelMemory, reserveMemory, writeNorms } from './kernel.ts';
import { type KernelLayout, layoutKernelMemory } from './kernel-layout.ts';
import {
  type ChunkFailure,
  CONTROL,
  CONTROL_BYTES,
  type FromThread,
  NO_LAST_CHUNK,
  type PruneRequest,
  type ThreadData,
} from './kernel-messages.ts';
import { checkMatrix, checkSelection, type MatrixDescription, nonFiniteWeight, type Selection } from './selection.ts';

/** Matrix [O, I] from one file to another, or to another place of the same. `offset`: of its first byte, any number. */
export interface MatrixPruneJob extends MatrixDescription {
  /** [I], finite and not negative; read when the job's turn comes. */
  readonly columnNorms: Float32Array;
  readonly selection: Selection;
  readonly source: { readonly file: string; readonly offset: number };
  /** Made if it is missing; what is outside the matrix's range stays. Not synced to disk. */
  readonly destination: { readonly file: string; readonly offset: number };
}

export interface KernelPoolOptions {
  readonly threads: number;
  /** Tests put a thread here that misbehaves. */
  readonly threadFile?: URL;
}

interface PoolThread {
  readonly index: number;
  readonly worker: Worker;
  /** Takes the next message of the thread, null when it died. */
  answer: ((message: FromThread | null) => void) | null;
}

export class KernelPool {
  private readonly threads: PoolThread[] = [];
  private readonly module: WebAssembly.Module;
  private readonly memory = createKernelMemory();
  private readonly control = new Int32Array(new SharedArrayBuffer(CONTROL_BYTES));
  private queue: Promise<void> = Promise.resolve();
  private failure: SecateurError | null = null;

  private constructor(module: WebAssembly.Module) {
    this.module = module;
  }

  /** Starts the threads; resolves when all are ready. Throws EngineFailed where one does not start. */
  static async create(options: KernelPoolOptions): Promise<KernelPool> {
    const { threads, threadFile = new URL('./kernel-thread.ts', import.meta.url) } = options;
    if (!Number.isInteger(threads) || threads < 1) {
      throw new SecateurError(
        'ArgumentInvalid',
        `expected a whole number of kernel threads, 1 or more; found ${threads}.`,
      );
    }
    const pool = new KernelPool(await compileKernel());
    const ready = Array.from({ length: threads }, (_, index) => pool.start(index, threadFile));
    await Promise.all(ready);
    if (pool.failure !== null) {
      await pool.close();
      throw pool.failure;
    }
    return pool;
  }

  /**
   * Prunes a matrix; `zeros` counts those it holds afterwards, of either sign. Jobs run in the order they come.
   * Throws ArgumentInvalid (selection, shape), NonFiniteValue (a norm; or the first non-finite weight in row order, with
   * details { tensor, row, column }), SourceMissing, SourceChanged (the file ends too early), StorageFull, StorageFailed,
   * LimitExceeded, EngineFailed (a thread died). After an error the destination's range is worth nothing.
   */
  async pruneMatrix(job: MatrixPruneJob): Promise<{ zeros: number }> {
    checkMatrix(job, job.columnNorms);
    checkSelection(job.selection, job.tensor, job.columns);
    const result = this.queue.then(() => this.run(job));
    this.queue = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  /** Lets the jobs that wait finish, then ends the threads. */
  async close(): Promise<void> {
    await this.queue;
    this.failure ??= new SecateurError('Internal', 'the kernel pool is closed');
    await Promise.all(this.threads.map((thread) => thread.worker.terminate()));
  }

  private start(index: number, threadFile: URL): Promise<FromThread | null> {
    const control = this.control.buffer as SharedArrayBuffer;
    const data: ThreadData = { module: this.module, memory: this.memory, control };
    const worker = new Worker(threadFile, { workerData: data });
    const thread: PoolThread = { index, worker, answer: null };
    this.threads.push(thread);
    worker.on('message', (message: FromThread) => settle(thread, message));
    worker.on('error', (error) => this.lose(thread, `it threw: ${error.message}`, error));
    worker.on('exit', (exitCode) => this.lose(thread, `it ended with exit code ${exitCode}`));
    return nextAnswer(thread);
  }

  private lose(thread: PoolThread, what: string, cause?: Error): void {
    this.failure ??= new SecateurError(
      'EngineFailed',
      `kernel thread ${thread.index + 1} of ${this.threads.length} is gone: ${what}. The pool takes no more matrices: ` +
        'start the engine again.',
      { retryable: true, details: { thread: thread.index }, ...(cause === undefined ? {} : { cause }) },
    );
    // The others end after the chunk in hand.
    Atomics.store(this.control, CONTROL.lastChunk, -1);
    settle(thread, null);
  }

  private async run(job: MatrixPruneJob): Promise<{ zeros: number }> {
    if (this.failure !== null) throw this.failure;
    if (job.rows === 0) return { zeros: 0 };
    const layout = this.reserve(job);
    writeNorms(this.memory, layout, job.dtype, job.columnNorms);
    Atomics.store(this.control, CONTROL.nextChunk, 0);
    Atomics.store(this.control, CONTROL.lastChunk, NO_LAST_CHUNK);
    const source = await openFile(job.source.file, constants.O_RDONLY);
    let destination: FileHandle | null = null;
    let answers: (FromThread | null)[];
    try {
      destination = await openFile(job.destination.file, constants.O_WRONLY | constants.O_CREAT);
      if (this.failure !== null) throw this.failure;
      const share = {
        matrix: { tensor: job.tensor, dtype: job.dtype, rows: job.rows, columns: job.columns },
        selection: job.selection,
        layout,
        source: { descriptor: source.fd, offset: job.source.offset },
        destination: { descriptor: destination.fd, offset: job.destination.offset },
      };
      const asked = layout.areas.map((_, area) => ask(this.threads[area] as PoolThread, { ...share, area }));
      answers = await Promise.all(asked);
    } finally {
      await source.close();
      await destination?.close();
    }
    if (this.failure !== null) throw this.failure;
    return { zeros: sumZeros(answers, job) };
  }

  /** Memory for as many threads as there are chunks. */
  private reserve(job: MatrixPruneJob): KernelLayout {
    const { rowsPerChunk } = layoutKernelMemory(job, 1);
    const layout = layoutKernelMemory(job, Math.min(this.threads.length, Math.ceil(job.rows / rowsPerChunk)));
    try {
      reserveMemory(this.memory, layout);
    } catch (cause) {
      const mebibytes = Math.ceil(layout.totalPages / 16);
      throw new SecateurError(
        'LimitExceeded',
        `${job.tensor}: its rows of ${job.columns} columns need ${mebibytes} MiB of kernel memory on ` +
          `${layout.areas.length} threads; the machine refused them. Use fewer threads or a machine with more memory.`,
        { cause, details: { tensor: job.tensor, columns: job.columns, threads: layout.areas.length } },
      );
    }
    return layout;
  }
}

function nextAnswer(thread: PoolThread): Promise<FromThread | null> {
  invariant(thread.answer === null, 'a thread is asked one thing at a time');
  // Waiting keeps the process alive, an idle pool does not.
  thread.worker.ref();
  return new Promise((resolve) => {
    thread.answer = resolve;
  });
}

function settle(thread: PoolThread, message: FromThread | null): void {
  const { answer } = thread;
  thread.answer = null;
  thread.worker.unref();
  answer?.(message);
}

function ask(thread: PoolThread, request: PruneRequest): Promise<FromThread | null> {
  const answer = nextAnswer(thread);
  thread.worker.postMessage(request);
  return answer;
}

/** The zeros of all threads, or the failure of the earliest chunk: the same one however the chunks fell to threads. */
function sumZeros(answers: readonly (FromThread | null)[], job: MatrixPruneJob): number {
  let zeros = 0;
  let first: ChunkFailure | null = null;
  for (const answer of answers) {
    invariant(answer?.type === 'done', 'a thread that lives answers a request');
    zeros += answer.zeros;
    if (answer.failure !== null && (first === null || answer.failure.chunk < first.chunk)) first = answer.failure;
  }
  if (first !== null) throw failureError(first, job);
  return zeros;
}

function failureError(failure: ChunkFailure, job: MatrixPruneJob): SecateurError {
  const { tensor, source, destination } = job;
  if (failure.kind === 'nonFinite') return nonFiniteWeight(tensor, failure.row, failure.column);
  if (failure.kind === 'shortRead') {
    return new SecateurError(
      'SourceChanged',
      `${source.file}: expected tensor ${tensor} to end at byte ${failure.expectedEnd}; found the end of the file at ` +
        `byte ${failure.foundEnd}. It was cut short while the job ran: restore it, then resume.`,
      { details: { file: source.file, tensor, expectedEnd: failure.expectedEnd, foundEnd: failure.foundEnd } },
    );
  }
  const file = failure.file === 'source' ? source.file : destination.file;
  const what = `${file}: pruning ${tensor}, expected to ${failure.file === 'source' ? 'read' : 'write'} it; found ${failure.message}`;
  return toSecateurError(
    failure.errno === null ? new Error(what) : Object.assign(new Error(what), { code: failure.errno }),
  );
}

async function openFile(file: string, flags: number): Promise<FileHandle> {
  try {
    return await open(file, flags);
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
}
