/**
 * The engine: the child process that owns ONNX Runtime, the hidden states and the kernels. It runs one task at a time;
 * to stop a task, the agent ends the process. Started by worker/agent/engine-process.ts, never by hand.
 */
import { createRequire } from 'node:module';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import type { ModelDescription } from '../../shared/models/family.ts';
import type { FileRef } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { JobContext__Output } from '../../shared/rpc/generated/secateur/v1/JobContext.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { chooseJobFiles } from '../../shared/storage/choose-job-files.ts';
import type { JobFiles } from '../../shared/storage/job-files.ts';
import { KernelPool } from '../kernels/kernel-pool.ts';
import { HiddenStore } from './hidden-store.ts';
import { instructionSet } from './instruction-set.ts';
import { measureMachine } from './measure-machine.ts';
import type { EngineOptions, FromEngine, Outcome, ToEngine } from './messages.ts';
import { ReadAhead } from './read-ahead.ts';
import { RunSize } from './run-size.ts';
import { probeProvider } from './session.ts';
import type { TaskContext } from './task-context.ts';
import { runCalibration } from './tasks/run-calibration.ts';
import { runCountOutliers } from './tasks/run-count-outliers.ts';
import { runDigest } from './tasks/run-digest.ts';
import { runEvaluate } from './tasks/run-evaluate.ts';
import { runHandOver } from './tasks/run-hand-over.ts';
import { runMeasureError } from './tasks/run-measure-error.ts';
import { runPass } from './tasks/run-pass.ts';
import { runPrepareEvaluation } from './tasks/run-prepare-evaluation.ts';
import { runPrune } from './tasks/run-prune.ts';

/** Progress is told at most this often: the agent passes it on with its heartbeats. */
const PROGRESS_INTERVAL_MS = 250;

class Engine {
  private readonly options: EngineOptions;
  private readonly provider: 'cpu' | 'cuda';
  private readonly hidden = new HiddenStore();
  private readonly readAhead = new ReadAhead();
  private readonly runSizes = { layer: new RunSize(), head: new RunSize() };
  private job: { readonly id: string; readonly files: JobFiles } | null = null;
  private pool: Promise<KernelPool> | null = null;
  private yielding = false;

  constructor(options: EngineOptions, provider: 'cpu' | 'cuda') {
    this.options = options;
    this.provider = provider;
  }

  async run(task: Task__Output): Promise<void> {
    const job = task.identity?.job ?? '';
    try {
      reach('engine.task-begun');
      const outcome = await this.dispatch(task, await this.context(task));
      send({ type: 'succeeded', outcome, job, holdings: this.hidden.holdings() });
    } catch (thrown) {
      const error = toSecateurError(thrown);
      const { code, message, retryable, details } = error;
      // A pool that lost a thread refuses every later matrix: the next task gets a new one.
      if (code === 'EngineFailed' && (task.prune || task.countOutliers)) this.dropPool();
      if (code === 'Internal') send({ type: 'log', level: 'error', message: error.stack ?? message });
      send({ type: 'failed', code, message, retryable, details, job, holdings: this.hidden.holdings() });
    }
  }

  /** For good: a worker that leaves takes no further pass. */
  yield(): void {
    this.yielding = true;
  }

  private dropPool(): void {
    const pool = this.pool;
    this.pool = null;
    pool?.then((each) => each.close()).catch(() => undefined); // It is broken: that is why it goes.
  }

  private dispatch(task: Task__Output, context: TaskContext): Promise<Outcome> {
    if (task.pass) return runPass(task.pass, context);
    if (task.prune) return runPrune(task.prune, context);
    if (task.handOver) return runHandOver(task.handOver, context);
    if (task.prepareCalibration) return runCalibration(task.prepareCalibration, context);
    if (task.prepareEvaluation) return runPrepareEvaluation(task.prepareEvaluation, context);
    if (task.evaluate) return runEvaluate(task.evaluate, context);
    if (task.measureError) return runMeasureError(task.measureError, context);
    if (task.countOutliers) return runCountOutliers(task.countOutliers, context);
    if (task.digestSource) return runDigest(task.digestSource, context);
    throw new Error(`a task of a kind that this version does not know: ${task.spec}`);
  }

  private async context(task: Task__Output): Promise<TaskContext> {
    const job = task.context as JobContext__Output;
    let toldMs = 0;
    return {
      job,
      model: JSON.parse(job.modelJson) as ModelDescription,
      files: await this.filesOf(job, task),
      hidden: this.hidden,
      provider: this.provider,
      deviceId: this.options.deviceId,
      threads: this.options.threads,
      readAhead: (ranges) => void this.readAhead.begin(ranges),
      runSizes: this.runSizes,
      kernels: () => {
        this.pool ??= KernelPool.create({ threads: this.options.threads });
        return this.pool;
      },
      progress: (done, total, unit) => {
        const nowMs = performance.now();
        if (done < total && nowMs - toldMs < PROGRESS_INTERVAL_MS) return;
        toldMs = nowMs;
        send({ type: 'progress', done, total, unit });
      },
      notice: (message) => send({ type: 'log', level: 'info', message }),
      statistics: (layer, sample, float32) => send({ type: 'statistics', layer, sample, float32 }),
      snapshotWritten: (snapshot) => send({ type: 'snapshot', snapshot }),
      isYielding: () => this.yielding,
    };
  }

  /** The engine serves one job in its life: the agent starts a new one for the next. */
  private async filesOf(context: JobContext__Output, task: Task__Output): Promise<JobFiles> {
    if (this.job === null || this.job.id !== context.job) {
      const { coordinator, storage, cacheDirectory } = this.options;
      const expectedFiles = filesOfTask(task);
      const files = await chooseJobFiles({ context, coordinator, storage, cacheDirectory, expectedFiles });
      send({ type: 'log', level: 'info', message: `job ${context.job}: files ${files.kind}` });
      this.job = { id: context.job, files };
    }
    this.job.files.setIdentity(task.identity ?? null);
    return this.job.files;
  }
}

/** The inputs that the job's first task names: a worker that sees them, with the right sizes, reads them in place. */
function filesOfTask(task: Task__Output): FileRef[] {
  const tensors = task.pass?.tensors ?? task.prune?.tensors ?? task.countOutliers?.tensors ?? [];
  const named = [
    task.digestSource?.file,
    ...(task.prepareCalibration?.files ?? []),
    ...tensors.map((each) => each.file),
  ];
  return named.filter((file) => file !== null && file !== undefined);
}

function send(message: FromEngine): void {
  // The agent is gone: what this engine computes, nobody will ever ask for.
  process.send?.(message, (error: Error | null) => {
    if (error !== null) endNow();
  });
}

/** `process.exit` would stop the solver's threads, and one that is stopped inside ONNX Runtime aborts the process noisily. */
function endNow(): void {
  process.kill(process.pid, 'SIGKILL');
}

async function main(options: EngineOptions): Promise<Engine> {
  const provider = await probeProvider(options.provider, options.deviceId, (why) => {
    send({ type: 'log', level: 'info', message: `runs on the CPU: ${why.message}` });
  });
  const require = createRequire(import.meta.url);
  const { version } = require('onnxruntime-node/package.json') as { version: string };
  const engineVersion = provider === 'cpu' ? `${version}+${await instructionSet()}` : version;
  const { deviceId, threads, cacheDirectory } = options;
  const say = (message: string): void => send({ type: 'log', level: 'warn', message });
  const figures = options.measure ? await measureMachine({ provider, deviceId, threads }, cacheDirectory, say) : null;
  send({ type: 'ready', provider, engineVersion, figures });
  return new Engine(options, provider);
}

let engine: Promise<Engine> | null = null;
let queue: Promise<void> = Promise.resolve();
process.on('message', (message: ToEngine) => {
  if (message.type === 'start') {
    engine = main(message.options);
    engine.catch((thrown: unknown) => {
      process.stderr.write(`${toSecateurError(thrown).message}\n`, () => process.exit(1));
    });
  } else if (message.type === 'yield') {
    engine?.then((started) => started.yield()).catch(() => undefined); // Told where it was started.
  } else if (engine !== null) {
    const started = engine;
    queue = queue.then(async () => (await started).run(message.task));
  }
});
process.on('disconnect', endNow);
// Ctrl-C reaches the whole group of processes: the agent decides what it means.
process.on('SIGINT', () => undefined);
process.on('SIGTERM', endNow);
