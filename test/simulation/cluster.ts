/**
 * A cluster of the real core and imagined workers: no processes, no time, no network. A seeded generator decides who
 * does what next, who dies, whose message is lost or comes twice. The model of a worker is strict: it runs a pass only
 * on hidden states that it truly has, and counts what it computes.
 */
import type { Command, CoreEvent, Holding, TaskIdentity, TaskOutcome } from '../../coordinator/core/events.ts';
import {
  type CoordinatorState,
  hasEnded,
  INITIAL_STATE,
  type JobIntake,
  type JobState,
} from '../../coordinator/core/state.ts';
import { step } from '../../coordinator/core/step.ts';
import type { TaskSpec } from '../../coordinator/core/task.ts';
import { RECONNECT_GRACE_MS } from '../../coordinator/core/workers.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';

export function seededRandom(seed: number): () => number {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) >>> 0;
    let t = Math.imul(a ^ (a >>> 15), a | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

export function fakeManifest(options: { propagate: 'pruned' | 'dense'; stages: number | 'auto' }): Manifest {
  return {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: 'fake', namespace: 'default' },
    spec: {
      model: { source: 'file:///model' },
      output: { destination: 'file:///out', maxShardSize: 1_000 },
      calibration: { text: ['file:///a.txt'], samples: 4, sequenceLength: 8, seed: 0, microbatch: 'auto' },
      pruning: { method: 'wanda', sparsity: 0.5, propagate: options.propagate },
      placement: { stages: options.stages, replicas: 'auto' },
    },
  } as unknown as Manifest;
}

export function fakeIntake(layerCount: number): JobIntake {
  const slot = (name: string) => ({
    name,
    dtype: 'F32' as const,
    shape: [10],
    file: 'model.safetensors',
    offset: 0,
    sizeBytes: 40,
  });
  return {
    sourceDirectory: '/model',
    outputDirectory: '/out',
    model: { hiddenSize: 10, intermediateSize: 10, headCount: 1, headDim: 10 } as JobIntake['model'],
    shards: [
      { file: 'a.safetensors', sizeBytes: 100, mtimeMs: 1 },
      { file: 'b.safetensors', sizeBytes: 100, mtimeMs: 1 },
    ],
    auxiliaryFiles: [],
    calibrationFiles: [{ file: '/a.txt', sizeBytes: 10, mtimeMs: 1 }],
    givenTokens: null,
    layers: Array.from({ length: layerCount }, (_, layer) => ({
      linears: [
        {
          tensor: `l${layer}.w`,
          statistic: 'x',
          outFeatures: 1,
          inFeatures: 10,
          choice: { kind: 'unstructured' as const, sparsity: 0.5 },
        },
      ],
      tensors: [slot(`l${layer}.w`)],
    })),
    outside: [slot('embed'), slot('head')],
    embedding: slot('embed'),
    warnings: [],
  };
}

interface SimulatedWorker {
  readonly id: string;
  incarnation: number;
  attached: boolean;
  /** What its engine holds: stage → boundary. */
  readonly held: Map<number, number>;
  task: { identity: TaskIdentity; spec: TaskSpec } | null;
  readonly waiting: { identity: TaskIdentity; spec: TaskSpec }[];
  readonly unacknowledged: { identity: TaskIdentity; outcome: TaskOutcome }[];
}

const file = (name: string) => ({ name, sizeBytes: 1, sha256: name });

export class Cluster {
  state: CoordinatorState = INITIAL_STATE;
  nowMs = 1_000;
  readonly journal: { event: CoreEvent; atMs: number }[] = [];
  readonly events: JobEvent[] = [];
  readonly workers = new Map<string, SimulatedWorker>();
  /** How often each layer's commit was accepted, and how often each was calibrated after it was committed. */
  readonly commits = new Map<number, number>();
  readonly violations: string[] = [];
  /** Passes that came to a worker which had lost its hidden states meanwhile: a race, answered and recovered from. */
  inputsMissing = 0;
  private pending: Command[] = [];
  readonly layerCount: number;
  private readonly intake: JobIntake;
  private readonly random: () => number;

  constructor(layerCount: number, random: () => number) {
    this.layerCount = layerCount;
    this.intake = fakeIntake(layerCount);
    this.random = random;
  }

  get job(): JobState {
    return Object.values(this.state.jobs)[0] as JobState;
  }

  take(event: CoreEvent): void {
    this.nowMs += 1;
    const result = step(this.state, event, this.nowMs);
    if (result.state === this.state && result.commands.length === 0) return;
    this.journal.push({ event, atMs: this.nowMs });
    this.noteCommits(result.state);
    this.state = result.state;
    this.events.push(...result.events);
    this.pending.push(...result.commands);
  }

  private noteCommits(after: CoordinatorState): void {
    for (const [id, job] of Object.entries(after.jobs)) {
      for (const [layer, state] of job.layers.entries()) {
        const before = this.state.jobs[id]?.layers[layer];
        if (state.status === 'committed' && before?.status !== 'committed')
          this.commits.set(layer, (this.commits.get(layer) ?? 0) + 1);
        if (before?.status === 'committed' && state.status !== 'committed')
          this.violations.push(`layer ${layer} was uncommitted`);
      }
    }
  }

  /** A new process: what it knows is what the journal gives again; commands under way are forgotten. */
  restartCoordinator(): void {
    let state = INITIAL_STATE;
    for (const { event, atMs } of this.journal) state = step(state, event, atMs).state;
    if (JSON.stringify(state) !== JSON.stringify(this.state)) this.violations.push('the replay differs from the state');
    this.state = state;
    this.pending = [];
    for (const worker of this.workers.values()) worker.attached = false;
    this.take({ type: 'coordinatorStarted' });
  }

  attach(id: string): void {
    const worker = this.workers.get(id) ?? {
      id,
      incarnation: 1,
      attached: false,
      held: new Map(),
      task: null,
      waiting: [],
      unacknowledged: [],
    };
    this.workers.set(id, worker);
    worker.attached = true;
    const job = this.job?.id ?? '';
    const tasks = [
      ...worker.unacknowledged.map((result) => result.identity),
      ...(worker.task === null ? [] : [worker.task.identity]),
      ...worker.waiting.map((task) => task.identity),
    ];
    const holdings: Holding[] = [...worker.held].map(([stage, boundary]) => ({ job, stage, boundary }));
    const capabilities = {
      host: 'h',
      processId: 1,
      provider: 'cpu' as const,
      threads: 1,
      memoryBytes: 1,
      version: '0',
      engineVersion: '0',
      storageReadBytesPerSecond: 0,
      storageWriteBytesPerSecond: 0,
      computeFlops: 0,
      deviceMemoryBytes: 0,
    };
    this.take({
      type: 'workerAttached',
      worker: id,
      incarnation: String(worker.incarnation),
      capabilities,
      tasks,
      holdings,
    });
    for (const result of [...worker.unacknowledged]) this.deliverResult(worker, result);
  }

  detach(id: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined || !worker.attached) return;
    worker.attached = false;
    this.take({ type: 'workerDetached', worker: id, incarnation: String(worker.incarnation), leaving: false });
  }

  kill(id: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined) return;
    this.detach(id);
    worker.incarnation += 1;
    worker.held.clear();
    worker.task = null;
    worker.waiting.length = 0;
    worker.unacknowledged.length = 0;
  }

  crashEngine(id: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined || !worker.attached) return;
    worker.held.clear();
    const task = worker.task;
    worker.task = worker.waiting.shift() ?? null;
    if (task === null) {
      if (this.job !== undefined) this.take({ type: 'holdingsLost', worker: id, job: this.job.id, why: 'crash' });
      return;
    }
    const failure = { code: 'EngineCrashed' as const, message: 'crashed', details: {}, retryable: true };
    this.take({ type: 'taskFailed', worker: id, identity: task.identity, failure, holdingsLost: true });
  }

  passTime(ms: number): void {
    this.nowMs += ms;
    this.take({ type: 'tick' });
  }

  /** Carries out one command, or lets one worker finish what it runs. False when nothing is under way. */
  advance(): boolean {
    const running = [...this.workers.values()].filter((worker) => worker.task !== null);
    const choices = this.pending.length + running.length;
    if (choices === 0) return false;
    const pick = Math.floor(this.random() * choices);
    if (pick < this.pending.length) this.carryOut(this.pending.splice(pick, 1)[0] as Command);
    else this.finishTask(running[pick - this.pending.length] as SimulatedWorker);
    return true;
  }

  private carryOut(command: Command): void {
    switch (command.kind) {
      case 'intake':
        return this.take({ type: 'intakeSucceeded', job: command.job, intake: this.intake });
      case 'reduceStatistics':
        return this.take({ type: 'statisticsReduced', job: command.job, layer: command.layer, file: file('sums') });
      case 'assembleShard':
        return this.take({
          type: 'shardAssembled',
          job: command.job,
          shard: command.shard,
          file: { ...file('s'), file: 's' },
        });
      case 'publishCheckpoint':
        return this.take({ type: 'checkpointPublished', job: command.job, files: [] });
      case 'assign': {
        const worker = this.workers.get(command.worker);
        if (!worker?.attached) return;
        worker.waiting.push({ identity: command.identity, spec: command.spec });
        worker.task ??= worker.waiting.shift() ?? null;
        return;
      }
      case 'abort': {
        const worker = this.workers.get(command.worker);
        if (!worker?.attached) return;
        if (worker.task !== null && sameTask(worker.task.identity, command.identity)) {
          worker.task = worker.waiting.shift() ?? null;
          worker.held.clear();
          this.take({ type: 'holdingsLost', worker: command.worker, job: command.identity.job, why: 'aborted' });
        }
        const waiting = worker.waiting.findIndex((task) => sameTask(task.identity, command.identity));
        if (waiting >= 0) worker.waiting.splice(waiting, 1);
        const index = worker.unacknowledged.findIndex((result) => sameTask(result.identity, command.identity));
        if (index >= 0) worker.unacknowledged.splice(index, 1);
        return;
      }
      case 'releaseJob':
        this.workers.get(command.worker)?.held.clear();
        return;
    }
  }

  private finishTask(worker: SimulatedWorker): void {
    const { identity, spec } = worker.task as NonNullable<SimulatedWorker['task']>;
    worker.task = worker.waiting.shift() ?? null;
    const outcome = this.compute(worker, spec);
    if (outcome === null) {
      const failure = { code: 'InputsMissing' as const, message: 'missing', details: {}, retryable: true };
      this.inputsMissing += 1;
      if (worker.attached) this.take({ type: 'taskFailed', worker: worker.id, identity, failure, holdingsLost: true });
      return;
    }
    const result = { identity, outcome };
    worker.unacknowledged.push(result);
    if (worker.attached) this.deliverResult(worker, result);
  }

  /** Messages may come twice: the second must change nothing. */
  private deliverResult(worker: SimulatedWorker, result: { identity: TaskIdentity; outcome: TaskOutcome }): void {
    const times = this.random() < 0.2 ? 2 : 1;
    for (let time = 0; time < times; time++) this.take({ type: 'taskSucceeded', worker: worker.id, ...result });
    const index = worker.unacknowledged.indexOf(result);
    if (index >= 0) worker.unacknowledged.splice(index, 1);
  }

  private compute(worker: SimulatedWorker, spec: TaskSpec): TaskOutcome | null {
    switch (spec.kind) {
      case 'prepareCalibration':
        return {
          kind: 'prepareCalibration',
          calibration: { inputDigests: [], samples: 4, sequenceLength: 8, sha256: 'c', sizeBytes: 1 },
        };
      case 'digestSource':
        return { kind: 'digestSource', sha256: spec.shard };
      case 'prune':
        return {
          kind: 'prune',
          file: file(`layer-${spec.layer}`),
          tensors: [{ name: 'w', elements: 10, zeros: 5, pruned: true }],
          pruneMs: 1,
          commitMs: 1,
        };
      case 'pass': {
        if (spec.input === 'memory' && worker.held.get(spec.stage) !== spec.layer) return null;
        if (spec.weights === 'committed' && this.job.layers[spec.layer]?.status !== 'committed')
          this.violations.push(`pass through uncommitted layer ${spec.layer}`);
        if (spec.statistics && this.job.layers[spec.layer]?.status === 'committed')
          this.violations.push(`committed layer ${spec.layer} calibrated again`);
        worker.held.set(spec.stage, spec.hidden ? spec.layer + 1 : spec.layer);
        if (spec.persist) worker.held.delete(spec.stage);
        return {
          kind: 'pass',
          tokens: 32,
          computeMs: 1,
          snapshots: spec.persist ? [file('snap')] : [],
          statistics: spec.statistics ? file('stats') : null,
        };
      }
    }
  }

  /** Lets everything run its course without faults; true when the job has ended. */
  settle(stepsMax: number): boolean {
    for (let count = 0; count < stepsMax; count++) {
      if (this.job !== undefined && hasEnded(this.job)) return true;
      if (!this.advance()) this.passTime(RECONNECT_GRACE_MS / 4);
    }
    return false;
  }
}

function sameTask(a: TaskIdentity, b: TaskIdentity): boolean {
  return a.job === b.job && a.task === b.task && a.attempt === b.attempt && a.epoch === b.epoch;
}
