/**
 * The threads of SparseGPT's solver: what is asked of the solver they do together, each with ONNX Runtime on itself alone
 * and a kernel of its own. The engine's main thread only waits.
 *
 * Invariants:
 *  1. The result is a function of what was asked alone: not of the number of threads, nor of which did what.
 *  2. One thing is asked at a time.
 *  3. A thread that dies ends the pool: what is in hand and all that comes later is rejected with the same error.
 *
 * A thread that is inside the runtime cannot be stopped (the process would abort): `close` waits until it is done.
 */
import { Worker } from 'node:worker_threads';
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import { SparseGptKernel, STRIP_ROWS } from '../kernels/sparsegpt-kernel.ts';
import { PART_ROWS_MIN, type PartOutcome, type SweepTask } from '../methods/sparsegpt/column-sweep.ts';
import type { TileSizes } from '../methods/sparsegpt/invert-cholesky.ts';
import type { SquareMatrix } from '../methods/sparsegpt/matrix-product.ts';
import type { Solver } from '../methods/sparsegpt/solver.ts';
import { partsOf } from '../methods/sparsegpt/team.ts';
import { abandonTeam, createTeamMemory, type TeamMemory, workOf } from './shared-team.ts';
import type { FromSolverThread, SolverThreadData, SolverWork, ToSolverThread } from './solver-messages.ts';

export interface SolverPoolOptions {
  readonly threads: number;
  /** Tests put a thread here that misbehaves. */
  readonly threadFile?: URL;
  /** Is told once a second while threads get on, and when they are done, how many operations all of them have done since the pool is there. */
  readonly worked?: (operations: number) => void;
}

const TOLD_EVERY_MS = 1_000;

interface PoolThread {
  readonly worker: Worker;
  readonly ended: Promise<void>;
  /** Takes the next message of the thread, null when it died. */
  answer: ((message: FromSolverThread | null) => void) | null;
}

export class SolverPool implements Solver {
  private readonly threads: PoolThread[] = [];
  private readonly module: WebAssembly.Module;
  private team: TeamMemory | null = null;
  private failure: SecateurError | null = null;
  private readonly worked: (operations: number) => void;
  /** As they were told last. */
  private operations = 0;

  private constructor(module: WebAssembly.Module, worked: (operations: number) => void) {
    this.module = module;
    this.worked = worked;
  }

  /** Starts the threads; resolves when all are ready. @throws EngineFailed where one does not start */
  static async create(options: SolverPoolOptions): Promise<SolverPool> {
    const { threads, threadFile = new URL('./solver-thread.ts', import.meta.url), worked = () => undefined } = options;
    invariant(Number.isInteger(threads) && threads >= 1, 'a solver has one thread or more');
    const pool = new SolverPool(await SparseGptKernel.compile(), worked);
    await Promise.all(Array.from({ length: threads }, (_, index) => pool.start(index, threads, threadFile)));
    if (pool.failure !== null) {
      await pool.close();
      throw pool.failure;
    }
    return pool;
  }

  async invert(matrix: SquareMatrix, sizes: TileSizes): Promise<number | null> {
    const work: SolverWork = { type: 'invert', matrix, sizes };
    // All threads agree.
    const [answer] = await this.ask(this.threads.map(() => work));
    invariant(answer?.type === 'inverted', 'a thread answers what it was asked');
    return answer.failedColumn;
  }

  async sweep(task: SweepTask): Promise<PartOutcome[]> {
    const count = Math.max(1, Math.min(this.threads.length, Math.floor(task.rows / PART_ROWS_MIN)));
    const parts = partsOf({ begin: 0, end: task.rows }, count, STRIP_ROWS, task.rows);
    const answers = await this.ask(parts.map((rows) => ({ type: 'sweep', task, rows })));
    return answers.map((answer) => {
      invariant(answer.type === 'swept', 'a thread answers what it was asked');
      return answer.outcome;
    });
  }

  /** Lets the threads end. What is in hand is to be waited for first. */
  async close(): Promise<void> {
    this.failure ??= new SecateurError('Internal', 'the solver is closed');
    for (const { worker } of this.threads) {
      worker.ref();
      worker.postMessage({ type: 'close' } satisfies ToSolverThread);
    }
    await Promise.all(this.threads.map(({ ended }) => ended));
  }

  /** Asks one thread for each piece of work. */
  private async ask(work: readonly SolverWork[]): Promise<FromSolverThread[]> {
    if (this.failure !== null) throw this.failure;
    invariant(this.team === null, 'a solver is asked one thing at a time');
    const team = createTeamMemory(work.length);
    this.team = team;
    const asked = work.map((each, index) => {
      const thread = this.threads[index] as PoolThread;
      const answer = nextAnswer(thread);
      thread.worker.postMessage({ ...each, team, index } satisfies ToSolverThread);
      return answer;
    });
    const before = this.operations;
    const tell = (): void => {
      const operations = before + workOf(team);
      if (operations > this.operations) this.worked(operations);
      this.operations = operations;
    };
    const timer = setInterval(tell, TOLD_EVERY_MS);
    const answers = await Promise.all(asked);
    clearInterval(timer);
    tell();
    this.team = null;
    if (this.failure !== null) throw this.failure;
    for (const answer of answers) if (answer?.type === 'failed') throw errorOf(answer);
    return answers.map((answer) => {
      invariant(answer !== null, 'a thread that lives answers');
      return answer;
    });
  }

  private start(index: number, count: number, threadFile: URL): Promise<FromSolverThread | null> {
    const worker = new Worker(threadFile, { workerData: { module: this.module } satisfies SolverThreadData });
    let end = () => {};
    const ended = new Promise<void>((resolve) => {
      end = resolve;
    });
    const thread: PoolThread = { worker, ended, answer: null };
    this.threads.push(thread);
    const lose = (what: string, cause?: Error) => {
      this.failure ??= new SecateurError(
        'EngineFailed',
        `thread ${index + 1} of ${count} of the solver is gone: ${what}. The layer is begun again.`,
        { retryable: true, details: { thread: index }, ...(cause === undefined ? {} : { cause }) },
      );
      if (this.team !== null) abandonTeam(this.team);
      settle(thread, null);
    };
    worker.on('message', (message: FromSolverThread) => settle(thread, message));
    worker.on('error', (error) => lose(`it threw: ${error.message}`, error));
    worker.on('exit', (exitCode) => {
      lose(`it ended with exit code ${exitCode}`);
      end();
    });
    return nextAnswer(thread);
  }
}

function nextAnswer(thread: PoolThread): Promise<FromSolverThread | null> {
  // Waiting keeps the process alive, an idle pool does not.
  thread.worker.ref();
  return new Promise((resolve) => {
    thread.answer = resolve;
  });
}

function settle(thread: PoolThread, message: FromSolverThread | null): void {
  const { answer } = thread;
  thread.answer = null;
  thread.worker.unref();
  answer?.(message);
}

function errorOf(answer: Extract<FromSolverThread, { type: 'failed' }>): SecateurError {
  const { code, message, retryable, details, stack } = answer;
  return Object.assign(new SecateurError(code, message, { retryable, details }), { stack });
}
