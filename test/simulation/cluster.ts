/**
 * A cluster of the real core and imagined workers: no processes, no time, no network. A seeded generator decides who
 * does what next, who dies, whose message is lost or comes twice. The model of a worker is strict: it runs a pass only
 * on hidden states that it truly has, and counts what it computes.
 */
import { budgetedLinears } from '../../coordinator/core/choices.ts';
import { type EffectCommand, effectName } from '../../coordinator/core/effects.ts';
import type {
  Command,
  CoreEvent,
  EffectFailure,
  Holding,
  TaskIdentity,
  TaskOutcome,
  WrittenSnapshot,
} from '../../coordinator/core/events.ts';
import { allMicrobatches, needlessSnapshots } from '../../coordinator/core/lineage.ts';
import {
  type CoordinatorState,
  currentLease,
  type HiddenStates,
  hasEnded,
  INITIAL_STATE,
  type JobIntake,
  type JobState,
  type StagedFile,
} from '../../coordinator/core/state.ts';
import { step } from '../../coordinator/core/step.ts';
import type { PassSpec, TaskSpec } from '../../coordinator/core/task.ts';
import { RECONNECT_GRACE_MS } from '../../coordinator/core/workers.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import { discardTo } from '../../shared/manifest/location.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { contains, membersOf, setOfMembers } from '../../shared/microbatch-set.ts';
import { intakeOf, manifestOf } from './model.ts';
import { replicasOf } from './replicas.ts';

export function fakeManifest(options: {
  propagate: 'pruned' | 'dense';
  stages: number | 'auto';
  replicas?: number | 'auto';
  samples?: number;
  microbatch?: number | 'auto';
  snapshotInterval?: number | 'auto';
  method?: 'wanda' | 'sparsegpt';
  isDiscarded?: boolean;
}): Manifest {
  const { propagate, stages, replicas = 'auto', samples = 4, microbatch = 1, snapshotInterval = 'auto' } = options;
  const { method = 'wanda' } = options;
  const model = { samples, microbatch, propagate, stages, replicas, snapshotInterval, method, texts: 0 };
  const manifest = manifestOf(model, { name: 'fake', shardBytesMax: 1_000 });
  if (options.isDiscarded !== true) return manifest;
  const { output } = manifest.spec;
  return { ...manifest, spec: { ...manifest.spec, output: { ...output, destination: discardTo(output.destination) } } };
}

export function fakeIntake(layers: number): JobIntake {
  return intakeOf({ layers, texts: 0 });
}

interface SimulatedWorker {
  readonly id: string;
  incarnation: number;
  attached: boolean;
  /** What its engine holds: boundary → microbatches. */
  readonly held: Map<number, Set<number>>;
  task: { identity: TaskIdentity; spec: TaskSpec } | null;
  readonly waiting: { identity: TaskIdentity; spec: TaskSpec }[];
  readonly unacknowledged: Result[];
  draining: boolean;
}

interface Result {
  readonly identity: TaskIdentity;
  readonly outcome: TaskOutcome;
  readonly holdings: readonly HiddenStates[];
}

const file = (name: string) => ({ name, sizeBytes: 1, sha256: name });
/** The same bytes, under a name of their own. */
const leased = (name: string, { epoch, attempt }: TaskIdentity) => ({
  ...file(name),
  name: `${name}-e${epoch}-a${attempt}`,
});

export class Cluster {
  state: CoordinatorState = INITIAL_STATE;
  nowMs = 1_000;
  readonly journal: { event: CoreEvent; atMs: number }[] = [];
  readonly events: JobEvent[] = [];
  readonly workers = new Map<string, SimulatedWorker>();
  /** How often each layer's commit was accepted, and how often each was calibrated after it was committed. */
  readonly commits = new Map<number, number>();
  readonly violations: string[] = [];
  /** Snapshots and Hessians on the disk. */
  readonly files = new Set<string>();
  /** Whatever the coordinator has had removed. */
  readonly removed = new Set<string>();
  /** The most files of committed layers that were there at one time. */
  layerFilesMax = 0;
  /** Committed layers and token ids that are not what was written, by name: whoever reads one says so. */
  readonly damaged = new Set<string>();
  /** Microbatches through layers, whatever became of them. */
  computed = 0;
  /** Of every layer that is pruned. */
  dampingRaises: { linears: string[]; from: number; to: number }[] = [];
  /** Passes that came to a worker which had lost its hidden states meanwhile: a race, answered and recovered from. */
  inputsMissing = 0;
  /** What comes of an effect instead of its result; null: its result. */
  effectFails: (command: EffectCommand) => EffectFailure | null = () => null;
  private pending: Command[] = [];
  readonly layerCount: number;
  /** What the inputs are now; exchanged by tests that change them, never written to once a job has read them. */
  intake: JobIntake;
  private readonly random: () => number;

  readonly samples: number;

  constructor(layerCount: number, random: () => number, samples = 4) {
    this.samples = samples;
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
    this.checkReplicas(result.state);
    this.checkSnapshots(event, result.state);
    this.state = result.state;
    for (const { verb, data } of result.events) {
      if (data.epoch !== this.state.epoch) this.violations.push(`${verb} was told in epoch ${data.epoch}`);
    }
    this.events.push(...result.events);
    this.pending.push(...result.commands);
  }

  private noteCommits(after: CoordinatorState): void {
    for (const [id, job] of Object.entries(after.jobs)) {
      for (const [layer, state] of job.layers.entries()) {
        const before = this.state.jobs[id]?.layers[layer];
        if (state.status === 'committed' && before?.status !== 'committed')
          this.commits.set(layer, (this.commits.get(layer) ?? 0) + 1);
        if (before?.status !== 'committed' || state.status === 'committed') continue;
        if (before.isDiscarded === true || this.damaged.has(before.file?.name ?? ''))
          this.commits.set(layer, (this.commits.get(layer) ?? 0) - 1);
        else this.violations.push(`layer ${layer} was uncommitted`);
      }
      const kept = job.layers.filter(({ status, isDiscarded }) => status === 'committed' && isDiscarded !== true);
      this.layerFilesMax = Math.max(this.layerFilesMax, kept.length);
    }
  }

  /** After a pass no snapshot is left that nobody can need again: the disk of a long job would fill with them. */
  private checkSnapshots(event: CoreEvent, after: CoordinatorState): void {
    if (event.type !== 'taskSucceeded' || event.outcome.kind !== 'pass') return;
    for (const job of Object.values(after.jobs)) {
      if (hasEnded(job) || job.phase !== 'Pruning') continue;
      const needless = needlessSnapshots(job).map(({ boundary }) => boundary);
      if (needless.length > 0) this.violations.push(`needless snapshots stay at boundaries ${needless.join(', ')}`);
    }
  }

  private checkReplicas(after: CoordinatorState): void {
    for (const job of Object.values(after.jobs)) {
      for (const [stage, replicas] of replicasOf(job).entries()) {
        if (replicas.length > (job.plan?.replicasMax ?? replicas.length))
          this.violations.push(`stage ${stage} has ${replicas.join(', ')} of ${job.plan?.replicasMax} replicas`);
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
      draining: false,
    };
    this.workers.set(id, worker);
    worker.attached = true;
    const job = this.job?.id ?? '';
    const tasks = [
      ...worker.unacknowledged.map((result) => result.identity),
      ...(worker.task === null ? [] : [worker.task.identity]),
      ...worker.waiting.map((task) => task.identity),
    ];
    const holdings: Holding[] = holdingsOf(worker).map((states) => ({ job, ...states }));
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
    worker.draining = false;
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
      if (this.job !== undefined)
        this.take({ type: 'holdingsChanged', worker: id, job: this.job.id, holdings: [], why: 'crash' });
      return;
    }
    const failure = { code: 'EngineCrashed' as const, message: 'crashed', details: {}, retryable: true };
    this.take({ type: 'taskFailed', worker: id, identity: task.identity, failure, holdings: [] });
  }

  /** SIGTERM: it takes no new work, hands over what it holds, and leaves when it is dismissed. */
  drain(id: string): void {
    const worker = this.workers.get(id);
    if (worker === undefined || !worker.attached || worker.draining) return;
    worker.draining = true;
    this.take({ type: 'workerDraining', worker: id });
  }

  /** Snapshots that vanish from the disk without a word. */
  loseFiles(share: number): void {
    for (const name of [...this.files]) if (this.random() < share) this.files.delete(name);
  }

  /** A bit of a committed layer, or of the token ids, flips. */
  damage(): void {
    if (this.job === undefined) return;
    const files = [...this.job.layers.map((layer) => layer.file), this.job.calibration?.file];
    const names = files.flatMap((each) => (each ? [each.name] : []));
    const name = names[Math.floor(this.random() * names.length)];
    if (name !== undefined) this.damaged.add(name);
  }

  /** What of the staged files that these microbatches of a pass read is damaged. */
  private damagedFor(spec: PassSpec): string | undefined {
    const layer = spec.weights === 'committed' ? this.job.layers[spec.layer]?.file : null;
    const ids = spec.input === 'embed' ? this.job.calibration?.file : null;
    return [layer, ids].flatMap((each) => (each ? [each.name] : [])).find((name) => this.damaged.has(name));
  }

  private loseDamaged(): boolean {
    const { layers, calibration, id } = this.job;
    const names = [...layers.map((layer) => layer.file?.name), calibration?.file.name];
    const name = names.find((each) => each !== undefined && this.damaged.has(each));
    if (name === undefined) return false;
    this.take({ type: 'fileLost', job: id, life: this.job.resumes, name, why: 'damaged' });
    return true;
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
      case 'reduceStatistics':
      case 'assembleShard':
      case 'publishCheckpoint': {
        const failure = this.effectFails(command);
        if (failure === null) {
          if (command.kind === 'assembleShard' && this.loseDamaged()) return;
          return this.take(this.resultOf(command));
        }
        const { job } = command;
        return this.take({ type: 'effectFailed', job, life: this.job.resumes, effect: effectName(command), failure });
      }
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
          const { job } = command.identity;
          this.take({ type: 'holdingsChanged', worker: command.worker, job, holdings: [], why: 'aborted' });
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
      case 'removeStaged':
        for (const name of command.names) {
          this.files.delete(name);
          this.removed.add(name);
        }
        return;
      case 'dismiss': {
        const worker = this.workers.get(command.worker);
        if (!worker?.attached || !worker.draining) return;
        if ([worker.task, ...worker.waiting].some((task) => task !== null && this.isLeased(task.identity)))
          this.violations.push('dismissed while it has a task');
        worker.attached = false;
        this.take({
          type: 'workerDetached',
          worker: worker.id,
          incarnation: String(worker.incarnation),
          leaving: true,
        });
        this.kill(worker.id);
        return;
      }
    }
  }

  private resultOf(command: EffectCommand): CoreEvent {
    const about = { job: command.job, life: this.job.resumes };
    switch (command.kind) {
      case 'intake':
        return { type: 'intakeSucceeded', ...about, intake: this.intake };
      case 'reduceStatistics':
        return { type: 'statisticsReduced', ...about, layer: command.layer, file: file('sums') };
      case 'assembleShard':
        return { type: 'shardAssembled', ...about, shard: command.shard, file: { ...file('s'), file: 's' } };
      case 'publishCheckpoint':
        return { type: 'checkpointPublished', ...about, files: [] };
    }
  }

  private isLeased(identity: TaskIdentity): boolean {
    return currentLease(this.state, identity) !== undefined;
  }

  private finishTask(worker: SimulatedWorker): void {
    const { identity, spec } = worker.task as NonNullable<SimulatedWorker['task']>;
    worker.task = worker.waiting.shift() ?? null;
    const outcome = this.compute(worker, spec, identity);
    if (!('kind' in outcome)) {
      const isDamaged = outcome.staged !== undefined;
      const code = isDamaged ? ('ChecksumMismatch' as const) : ('InputsMissing' as const);
      const failure = { code, message: 'missing', details: { ...outcome }, retryable: true };
      if (!isDamaged) this.inputsMissing += 1;
      if (worker.attached)
        this.take({ type: 'taskFailed', worker: worker.id, identity, failure, holdings: holdingsOf(worker) });
      return;
    }
    const result = { identity, outcome, holdings: holdingsOf(worker) };
    worker.unacknowledged.push(result);
    if (worker.attached) this.deliverResult(worker, result);
  }

  /** Messages may come twice: the second must change nothing. */
  private deliverResult(worker: SimulatedWorker, result: Result): void {
    const times = this.random() < 0.2 ? 2 : 1;
    for (let time = 0; time < times; time++) this.take({ type: 'taskSucceeded', worker: worker.id, ...result });
    const index = worker.unacknowledged.indexOf(result);
    if (index >= 0) worker.unacknowledged.splice(index, 1);
  }

  /** What a task gives; where an input is missing, what the worker says about it. */
  private compute(worker: SimulatedWorker, spec: TaskSpec, identity: TaskIdentity): TaskOutcome | Missing {
    switch (spec.kind) {
      case 'prepareCalibration':
        return {
          kind: 'prepareCalibration',
          calibration: { inputDigests: [], samples: this.samples, sequenceLength: 8, file: leased('c', identity) },
        };
      case 'digestSource':
        return { kind: 'digestSource', sha256: spec.shard };
      case 'prune': {
        const hessians = this.job.layers[spec.layer]?.hessians ?? [];
        const lost = hessians.find((part) => !this.files.has(part.file.name));
        if (lost !== undefined && this.isLeased(identity)) return { hessian: lost.file.name };
        this.checkHessians(spec.layer, identity);
        return {
          kind: 'prune',
          file: leased(`layer-${spec.layer}`, identity),
          tensors: [{ name: 'w', elements: 10, zeros: 5, pruned: true }],
          pruneMs: 1,
          commitMs: 1,
          dampingRaises: this.dampingRaises,
        };
      }
      case 'countOutliers': {
        const linears = budgetedLinears(this.job, spec.layer);
        const weights = linears.reduce((sum, { outFeatures, inFeatures }) => sum + outFeatures * inFeatures, 0);
        return { kind: 'countOutliers', outliers: spec.layer % (weights + 1), weights, computeMs: 1 };
      }
      case 'handOver': {
        const members = [...membersOf(spec.microbatches)];
        if (members.some((microbatch) => !worker.held.get(spec.boundary)?.has(microbatch))) return {};
        for (const microbatch of members) dropFrom(worker.held, spec.boundary, microbatch);
        return {
          kind: 'handOver',
          snapshots: members.map((each) => this.writeSnapshot(spec.boundary, each, identity)),
        };
      }
      case 'prepareEvaluation':
      case 'evaluate':
      case 'measureError':
        throw new Error(`${spec.kind}: these jobs are not evaluated`);
      case 'pass':
        return this.computePass(worker, spec, identity);
    }
  }

  private computePass(worker: SimulatedWorker, spec: PassSpec, identity: TaskIdentity): TaskOutcome | Missing {
    const { status, lostSha256, file: committed } = this.job.layers[spec.layer] ?? {};
    if (spec.weights === 'committed' && this.isLeased(identity) && this.removed.has(committed?.name ?? ''))
      this.violations.push(`pass through layer ${spec.layer}, whose file was removed`);
    const staged = this.damagedFor(spec);
    if (staged !== undefined) return { staged };
    // One whose file was found damaged meanwhile was whole when this worker read it.
    if (spec.weights === 'committed' && this.isLeased(identity) && status !== 'committed' && lostSha256 === undefined)
      this.violations.push(`pass through uncommitted layer ${spec.layer}`);
    // A worker that is cut off may end what was taken from it: that counts for nothing.
    if (
      (spec.statistics || spec.hessian) &&
      this.isLeased(identity) &&
      this.job.layers[spec.layer]?.status === 'committed'
    )
      this.violations.push(`committed layer ${spec.layer} calibrated again`);
    const members = [...membersOf(spec.microbatches)];
    // A worker that was asked to leave stops after a microbatch.
    const done = worker.draining ? members.slice(0, 1) : members;
    const snapshots: WrittenSnapshot[] = [];
    for (const microbatch of done) {
      if (spec.input === 'memory' && !worker.held.get(spec.layer)?.has(microbatch)) return {};
      const held = this.job.snapshots.find((each) => each.boundary === spec.layer)?.files[microbatch];
      if (spec.input === 'snapshot' && (held === undefined || !this.files.has(held.name)))
        return { boundary: spec.layer, microbatch };
      if (spec.input === 'embed' && spec.layer !== 0) this.violations.push(`embedded at boundary ${spec.layer}`);
      const boundary = spec.hidden ? spec.layer + 1 : spec.layer;
      dropFrom(worker.held, spec.layer, microbatch);
      if (contains(spec.write, microbatch)) snapshots.push(this.writeSnapshot(boundary, microbatch, identity));
      if (contains(spec.drop, microbatch)) continue;
      const states = worker.held.get(boundary) ?? new Set<number>();
      worker.held.set(boundary, states.add(microbatch));
    }
    this.computed += done.length;
    return {
      kind: 'pass',
      tokens: done.length * 8,
      spent: { computeMs: done.length, loadMs: 1, snapshotMs: snapshots.length, bytesRead: 40, peakResidentBytes: 1 },
      done: setOfMembers(done),
      snapshots,
      statistics: spec.statistics ? file('stats') : null,
      ...(spec.hessian && done.length > 0 ? { hessian: this.writeHessian(spec.layer, identity) } : {}),
    };
  }

  private writeHessian(layer: number, { epoch, attempt }: TaskIdentity): StagedFile {
    const written = file(`hessian-${layer}-e${epoch}-a${attempt}`);
    this.files.add(written.name);
    return written;
  }

  /** A layer is pruned with the products of every microbatch, once; or of none, where it keeps all or its method needs none. */
  private checkHessians(layer: number, identity: TaskIdentity): void {
    const isKept = this.intake.layers[layer]?.linears.every(({ choice }) => choice.kind === 'keepAll');
    if (this.job.manifest.spec.pruning.method !== 'sparsegpt' || isKept || !this.isLeased(identity)) return;
    const members = (this.job.layers[layer]?.hessians ?? []).flatMap((part) => [...membersOf(part.microbatches)]);
    const expected = [...membersOf(allMicrobatches(this.job))].join();
    const found = members.sort((a, b) => a - b).join();
    if (found !== expected)
      this.violations.push(`layer ${layer} is pruned with the Hessians of ${found}, not ${expected}`);
  }

  private writeSnapshot(boundary: number, microbatch: number, { epoch, attempt }: TaskIdentity): WrittenSnapshot {
    const written = file(`${boundary}-${microbatch}-e${epoch}-a${attempt}`);
    this.files.add(written.name);
    return { boundary, microbatch, file: written };
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

/** Details of an input that is not there; empty where the holdings say it. */
interface Missing {
  readonly boundary?: number;
  readonly microbatch?: number;
  /** A committed layer, or the token ids. */
  readonly staged?: string;
  readonly hessian?: string;
}

function holdingsOf(worker: SimulatedWorker): HiddenStates[] {
  return [...worker.held].map(([boundary, microbatches]) => ({
    boundary,
    microbatches: setOfMembers(microbatches),
  }));
}

function dropFrom(held: Map<number, Set<number>>, boundary: number, microbatch: number): void {
  const states = held.get(boundary);
  states?.delete(microbatch);
  if (states?.size === 0) held.delete(boundary);
}
