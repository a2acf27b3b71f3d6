/**
 * Threads that prune matrices from file to file, or look at them for a method that is to choose, one pass over one matrix
 * at a time, all threads on it.
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
import { compileKernel, createKernelMemory, reserveMemory, writeTable, writeTables } from './kernel.ts';
import { CHUNK_BYTES, type KernelLayout, layoutKernelMemory } from './kernel-layout.ts';
import {
  type ChunkFailure,
  CONTROL,
  CONTROL_BYTES,
  type FromThread,
  NO_LAST_BLOCK,
  type PassRequest,
  type ThreadData,
} from './kernel-messages.ts';
import { chunksPerBlock, codeOf, KEY_HALF_COUNT, type KernelPass, layoutNeeds } from './kernel-pass.ts';
import { checkSaliency, type Saliency } from './saliency.ts';
import { checkMatrix, checkSelection, type MatrixDescription, nonFiniteWeight, type Selection } from './selection.ts';

/** A matrix [O, I] in a file. `offset`: of its first byte, any number. */
export interface StoredMatrix extends MatrixDescription {
  readonly source: { readonly file: string; readonly offset: number };
}

/** A matrix from one file to another, or to another place of the same. */
export interface MatrixPruneJob extends StoredMatrix {
  /** Its vectors are read when the job's turn comes. */
  readonly saliency: Saliency;
  readonly selection: Selection;
  /** Made if it is missing; what is outside the matrix's range stays. Not synced to disk. */
  readonly destination: { readonly file: string; readonly offset: number };
}

export interface KernelPoolOptions {
  readonly threads: number;
  /** Tests put a thread here that misbehaves. */
  readonly threadFile?: URL;
}

interface PassCall<Result> {
  readonly matrix: StoredMatrix;
  readonly pass: KernelPass;
  /** Left out where the pass changes nothing. */
  readonly destination?: MatrixPruneJob['destination'];
  readonly writeTables: (layout: KernelLayout) => void;
  /** Makes the result of the memory and of the zeros that threads counted. */
  readonly collect: (layout: KernelLayout, zeros: number) => Result;
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
   * Throws ArgumentInvalid (selection, shape), NonFiniteValue (an entry of a vector; or the first non-finite weight in row
   * order, with details { tensor, row, column }), SourceMissing, SourceChanged (the file ends too early), StorageFull,
   * StorageFailed, LimitExceeded, EngineFailed (a thread died). After an error the destination's range is worth nothing.
   * The passes below throw the same, and change nothing.
   */
  async pruneMatrix(job: MatrixPruneJob): Promise<{ zeros: number }> {
    checkMatrix(job);
    checkSelection(job.selection, job.tensor, job.columns);
    const { saliency, selection, destination } = job;
    checkSaliency(saliency, job.tensor, job.columns);
    const pass: KernelPass = { kind: 'prune', saliency: codeOf(saliency), selection };
    const tables = (layout: KernelLayout) => writeTables(this.memory, layout, job, saliency);
    return this.enqueue({ matrix: job, pass, destination, writeTables: tables, collect: (_, zeros) => ({ zeros }) });
  }

  /**
   * How many weights have which key, [65536]. A key's order is that of the metric. With `magnitude` and 16-bit weights the
   * key is the weight's bits without the sign; else it is the metric's, and counted are its upper 16 bits (`upper` null),
   * or the lower ones of the keys with these upper ones.
   */
  async countKeys(matrix: StoredMatrix, saliency: Saliency, upper: number | null): Promise<Float64Array> {
    checkMatrix(matrix);
    checkCountable(matrix);
    checkSaliency(saliency, matrix.tensor, matrix.columns);
    const pass: KernelPass = { kind: 'countKeys', saliency: codeOf(saliency), upper };
    const tables = (layout: KernelLayout) => writeTables(this.memory, layout, matrix, saliency);
    const collect = (layout: KernelLayout) => this.addCounters(layout, KEY_HALF_COUNT);
    return this.enqueue({ matrix, pass, writeTables: tables, collect });
  }

  /** How many weights the selection `cumulative` would zero at each of these alphas, ascending. `saliency`: normed. */
  async countCumulative(
    matrix: StoredMatrix,
    saliency: Extract<Saliency, { kind: 'normed' }>,
    alphas: Float32Array,
  ): Promise<Float64Array> {
    checkMatrix(matrix);
    checkCountable(matrix);
    checkSaliency(saliency, matrix.tensor, matrix.columns);
    const pass: KernelPass = { kind: 'countCumulative', saliency: codeOf(saliency), alphaCount: alphas.length };
    const tables = (layout: KernelLayout) => {
      writeTables(this.memory, layout, matrix, saliency);
      writeTable(this.memory, layout, alphas);
    };
    const collect = (layout: KernelLayout) => this.addCounters(layout, alphas.length);
    return this.enqueue({ matrix, pass, writeTables: tables, collect });
  }

  /** Sums of |w| over the rows, [I]: in float64 within blocks of rows that depend on the matrix alone, then over those. */
  async sumColumns(matrix: StoredMatrix): Promise<Float64Array> {
    checkMatrix(matrix);
    const pass: KernelPass = { kind: 'sumColumns' };
    const collect = (layout: KernelLayout) => this.addBlocks(layout, matrix, pass);
    return this.enqueue({ matrix, pass, writeTables: noTables, collect });
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
    Atomics.store(this.control, CONTROL.lastBlock, -1);
    settle(thread, null);
  }

  /** Runs a pass when its turn comes. */
  private enqueue<Result>(call: PassCall<Result>): Promise<Result> {
    const result = this.queue.then(() => this.run(call));
    this.queue = result.then(
      () => undefined,
      () => undefined,
    );
    return result;
  }

  private async run<Result>(call: PassCall<Result>): Promise<Result> {
    const { matrix, pass, destination = null } = call;
    if (this.failure !== null) throw this.failure;
    const { layout, blockChunks } = this.reserve(matrix, pass);
    call.writeTables(layout);
    for (const area of layout.areas) new Uint8Array(this.memory.buffer).fill(0, area.counters, area.digits);
    Atomics.store(this.control, CONTROL.nextBlock, 0);
    Atomics.store(this.control, CONTROL.lastBlock, NO_LAST_BLOCK);
    const source = await openFile(matrix.source.file, constants.O_RDONLY);
    let written: FileHandle | null = null;
    let answers: (FromThread | null)[];
    try {
      if (destination !== null) written = await openFile(destination.file, constants.O_WRONLY | constants.O_CREAT);
      if (this.failure !== null) throw this.failure;
      const { tensor, dtype, rows, columns } = matrix;
      const share = {
        matrix: { tensor, dtype, rows, columns },
        pass,
        layout,
        chunksPerBlock: blockChunks,
        source: { descriptor: source.fd, offset: matrix.source.offset },
        destination:
          written === null || destination === null ? null : { descriptor: written.fd, offset: destination.offset },
      };
      const asked = layout.areas.map((_, area) => ask(this.threads[area] as PoolThread, { ...share, area }));
      answers = await Promise.all(asked);
    } finally {
      await source.close();
      await written?.close();
    }
    if (this.failure !== null) throw this.failure;
    return call.collect(layout, sumZeros(answers, matrix, destination?.file ?? matrix.source.file));
  }

  /** Memory for as many threads as there are blocks to claim. */
  private reserve(matrix: StoredMatrix, pass: KernelPass): { layout: KernelLayout; blockChunks: number } {
    const { rowsPerChunk } = layoutKernelMemory(matrix, 1);
    const chunkCount = Math.ceil(matrix.rows / rowsPerChunk);
    const blockChunks = chunksPerBlock(pass, chunkCount);
    const threads = Math.min(this.threads.length, Math.ceil(chunkCount / blockChunks));
    const layout = layoutKernelMemory(matrix, threads, CHUNK_BYTES, layoutNeeds(pass, matrix, chunkCount));
    try {
      reserveMemory(this.memory, layout);
    } catch (cause) {
      const mebibytes = Math.ceil(layout.totalPages / 16);
      throw new SecateurError(
        'LimitExceeded',
        `${matrix.tensor}: its rows of ${matrix.columns} columns need ${mebibytes} MiB of kernel memory on ` +
          `${layout.areas.length} threads; the machine refused them. Use fewer threads or a machine with more memory.`,
        { cause, details: { tensor: matrix.tensor, columns: matrix.columns, threads: layout.areas.length } },
      );
    }
    return { layout, blockChunks };
  }

  private addCounters(layout: KernelLayout, length: number): Float64Array {
    const counts = new Float64Array(length);
    for (const area of layout.areas) {
      new Uint32Array(this.memory.buffer, area.counters, length).forEach((count, i) => {
        counts[i] = (counts[i] as number) + count;
      });
    }
    return counts;
  }

  private addBlocks(layout: KernelLayout, { rows, columns }: StoredMatrix, pass: KernelPass): Float64Array {
    const chunkCount = Math.ceil(rows / layout.rowsPerChunk);
    const sums = new Float64Array(columns);
    for (let block = 0; block * chunksPerBlock(pass, chunkCount) < chunkCount; block++) {
      new Float64Array(this.memory.buffer, layout.tables + block * columns * 8, columns).forEach((sum, column) => {
        sums[column] = (sums[column] as number) + sum;
      });
    }
    return sums;
  }
}

function noTables(): void {}

/** A counter has 32 bits. */
function checkCountable({ tensor, rows, columns }: StoredMatrix): void {
  if (rows * columns < 2 ** 32) return;
  throw new SecateurError(
    'LimitExceeded',
    `${tensor}: one threshold over a matrix of [${rows}, ${columns}] needs counts of 2^32 weights or more. Choose scope row.`,
    { details: { tensor, rows, columns } },
  );
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

function ask(thread: PoolThread, request: PassRequest): Promise<FromThread | null> {
  const answer = nextAnswer(thread);
  thread.worker.postMessage(request);
  return answer;
}

/** The zeros of all threads, or the failure of the earliest chunk: the same one however the chunks fell to threads. */
function sumZeros(answers: readonly (FromThread | null)[], matrix: StoredMatrix, destination: string): number {
  let zeros = 0;
  let first: ChunkFailure | null = null;
  for (const answer of answers) {
    invariant(answer?.type === 'done', 'a thread that lives answers a request');
    zeros += answer.zeros;
    if (answer.failure !== null && (first === null || answer.failure.chunk < first.chunk)) first = answer.failure;
  }
  if (first !== null) throw failureError(first, matrix, destination);
  return zeros;
}

function failureError(failure: ChunkFailure, { tensor, source }: StoredMatrix, destination: string): SecateurError {
  if (failure.kind === 'nonFinite') return nonFiniteWeight(tensor, failure.row, failure.column);
  if (failure.kind === 'shortRead') {
    return new SecateurError(
      'SourceChanged',
      `${source.file}: expected tensor ${tensor} to end at byte ${failure.expectedEnd}; found the end of the file at ` +
        `byte ${failure.foundEnd}. It was cut short while the job ran: restore it, then resume.`,
      { details: { file: source.file, tensor, expectedEnd: failure.expectedEnd, foundEnd: failure.foundEnd } },
    );
  }
  const file = failure.file === 'source' ? source.file : destination;
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
