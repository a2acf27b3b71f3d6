/**
 * A whole cluster in simulated time: coordinators that crash and start again from what is on their disk, workers and
 * engines that come and go, one client that submits a job and follows it, and whatever the scenario does to them.
 */
import { fitsVersions } from '../../coordinator/core/drift.ts';
import type { JobState } from '../../coordinator/core/state.ts';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { SimulatedCoordinator } from './coordinator-node.ts';
import { SimulatedDisk } from './disk.ts';
import { type Fallible, Faults } from './faults.ts';
import { Invariants, type Truth } from './invariants.ts';
import { expectedPerplexities, expectedShards, manifestOf, OUTPUT } from './model.ts';
import { type Breakage, SOUND } from './mutants.ts';
import { SimulatedNetwork } from './network.ts';
import type { Scenario } from './scenario.ts';
import { SimulatedProcess, SimulatedTime } from './time.ts';
import { Watcher } from './watcher.ts';
import { SimulatedWorker } from './worker-node.ts';

const JOB = 'simulated-1';
/** After the last fault, a job that has not ended by then never will. */
const ENDS_WITHIN_MS = 120 * 60_000;
/** Of the 20 s that a worker has to leave, for the microbatch that it is at. */
const HANDS_OVER_WITHIN_MS = 18_000;
const ENGINE_VERSIONS = ['1', '2'];
/** A job that failed is resumed this often while things still break, and this often after. */
const RESUMES_MAX = 30;

export interface Report {
  readonly seed: number;
  readonly breaches: readonly string[];
  readonly phase: string;
  readonly simulatedMs: number;
  readonly happenings: number;
  readonly faults: Readonly<Record<string, number>>;
  readonly failures: readonly string[];
  readonly events: number;
  readonly most: SimulatedNetwork['most'] & { journalBytes: number };
  /** Of everything that happened, in its order: the same for the same seed. */
  readonly fingerprint: string;
}

export interface WorldOptions {
  readonly breakage?: Breakage;
  readonly trace?: (line: string) => void;
}

export class World implements Fallible {
  readonly scenario: Scenario;
  readonly time = new SimulatedTime();
  readonly random: () => number;
  readonly local: SimulatedDisk;
  readonly shared: SimulatedDisk;
  readonly network: SimulatedNetwork;
  readonly invariants: Invariants;
  readonly workers: SimulatedWorker[] = [];
  coordinator: SimulatedCoordinator | null = null;
  coordinatorProcess: SimulatedProcess | null = null;
  isCalm = false;
  isPoisoned: boolean;
  readonly failures: string[] = [];
  private readonly faults: Faults;
  readonly watcher: Watcher;
  private readonly breakage: Breakage;
  private readonly traceTo: ((line: string) => void) | null;
  private resumes = 0;
  private isResuming = false;
  private clockOffMs = 0;
  private fingerprint = 0;

  constructor(scenario: Scenario, { breakage = SOUND, trace }: WorldOptions = {}) {
    this.scenario = scenario;
    this.breakage = breakage;
    this.traceTo = trace ?? null;
    this.random = seededRandom(scenario.seed);
    this.isPoisoned = scenario.poisonedLayer !== null;
    this.local = new SimulatedDisk(this.random);
    this.shared = new SimulatedDisk(this.random);
    this.network = new SimulatedNetwork(this.time, this.random);
    this.invariants = new Invariants(this.time, this.shared);
    this.network.wentOn = (who) => this.invariants.breach(`${who} goes on with a stream after a word of another epoch`);
    this.watcher = new Watcher(JOB, this.invariants);
    this.faults = new Faults(this);
    for (const sampleMs of scenario.workers) this.addWorker(sampleMs);
  }

  trace(who: string, text: string): void {
    for (let index = 0; index < text.length; index++)
      this.fingerprint = (Math.imul(this.fingerprint, 31) + text.charCodeAt(index)) | 0;
    this.traceTo?.(`${(this.time.nowMs / 1000).toFixed(3).padStart(9)}  ${who.padEnd(12)} ${text}`);
  }

  addWorker(sampleMs: number, engineVersion = '1'): SimulatedWorker {
    const name = `w${this.workers.length + 1}`;
    const worker = new SimulatedWorker(name, {
      time: this.time,
      network: this.network,
      shared: this.shared,
      sampleMs,
      engineVersion,
      random: this.random,
      isPoisoned: (task) => this.isPoisoned && task.startsWith(`prune-${this.poisonedName()}`),
      guesses: this.breakage.engineGuesses,
      looksAtNoDigest: this.breakage.looksAtNoDigest,
      heard: this.breakage.heard,
      trace: (text) => this.trace(name, text),
    });
    this.network.linkOf(name).unruly = this.scenario.unruly;
    this.workers.push(worker);
    return worker;
  }

  private poisonedName(): string {
    return String(this.scenario.poisonedLayer ?? 0).padStart(5, '0');
  }

  /** The job as the coordinator that is there now has it. */
  get job(): JobState | undefined {
    return this.coordinator?.process.isAlive ? this.coordinator.loop.state.jobs[JOB] : undefined;
  }

  async run(): Promise<Report> {
    this.startCoordinator();
    for (const worker of this.workers) this.time.after(this.random() * 3_000, null, () => worker.start());
    this.every(1_000, () => this.lookAfter());
    this.faults.begin();
    this.time.after(this.scenario.calmAfterMs, null, () => this.becomeCalm());
    const isDone = (): boolean => this.isOver() || this.invariants.breaches.length > 0;
    await this.time.run(isDone, this.scenario.calmAfterMs + ENDS_WITHIN_MS);
    // Whoever watches sees the end too, and it stays the end while things go on breaking.
    await this.time.run(() => this.invariants.breaches.length > 0, this.time.nowMs + 5_000);
    this.becomeCalm();
    await this.time.run(() => this.invariants.breaches.length > 0 || this.isSeen(), this.time.nowMs + 30_000);
    this.checkEnd();
    return this.report();
  }

  private isOver(): boolean {
    const { job } = this;
    return job?.phase === 'Succeeded';
  }

  private isSeen(): boolean {
    return this.job !== undefined && this.watcher.seen.length >= this.job.eventSequence;
  }

  every(ms: number, run: () => void): void {
    this.time.after(ms, null, () => {
      run();
      this.every(ms, run);
    });
  }

  startCoordinator(): void {
    const process = new SimulatedProcess(this.time, 'coordinator');
    process.clockOffMs = this.clockOffMs;
    if (this.coordinatorProcess === null || !this.coordinatorProcess.isAlive) this.coordinatorProcess = process;
    const isFirst = this.coordinatorProcess === process;
    process.onEnd(() => {
      this.trace('coordinator', 'is gone');
      if (!isFirst) return;
      this.invariants.forgetWaits();
      const restartMs = this.isCalm ? 200 : 200 + this.random() * 6_000;
      this.time.after(restartMs, null, () => this.startCoordinator());
    });
    const { local, shared, network, invariants, breakage } = this;
    const trace = (text: string): void => this.trace('coordinator', text);
    const { model } = this.scenario;
    SimulatedCoordinator.start({ process, local, shared, network, model, invariants, breakage, trace }).then(
      (coordinator) => this.coordinatorStarted(coordinator),
      () => undefined,
    );
  }

  private coordinatorStarted(coordinator: SimulatedCoordinator): void {
    this.coordinator = coordinator;
    if (coordinator.loop.state.jobs[JOB] === undefined) {
      const { namespace, name } = { namespace: 'default', name: 'simulated' };
      const manifest = manifestOf(this.scenario.model);
      const keeping = this.scenario.keepsHessians ? ({ isReusable: true, keepsHessians: true } as const) : {};
      this.submit(coordinator, { type: 'jobSubmitted', job: JOB, namespace, name, manifest, ...keeping });
    }
  }

  private submit(
    coordinator: SimulatedCoordinator,
    event: Parameters<SimulatedCoordinator['loop']['submit']>[0],
  ): void {
    coordinator.loop.submit(event).then(
      () => this.follow(coordinator),
      (thrown: unknown) => this.trace('client', `was refused: ${thrown}`),
    );
  }

  private followed: SimulatedCoordinator | null = null;

  /** One watcher a coordinator; one that ended with its job is begun anew when the job is resumed. */
  private follow(coordinator: SimulatedCoordinator): void {
    if (this.followed === coordinator || coordinator.loop.state.jobs[JOB] === undefined) return;
    this.followed = coordinator;
    this.watcher.follow(coordinator.jobs).then(
      () => {
        this.followed = null;
      },
      (thrown: unknown) => {
        // A disk that fails once fails a watcher, who tries again.
        this.trace('client', `watching failed: ${thrown}`);
        this.followed = null;
        if (toSecateurError(thrown).code !== 'StorageFailed') this.invariants.breach(`watching failed: ${thrown}`);
      },
    );
  }

  /** As SIGSTOP: it answers no ping either. */
  pause(process: SimulatedProcess, ms: number): void {
    if (!process.isAlive || process.isPaused) return;
    this.network.doubt(process);
    this.time.after(ms, null, () => this.network.trust(process));
    process.pause(ms);
  }

  cancel(): void {
    const { coordinator, job } = this;
    if (coordinator !== null && job !== undefined) this.submit(coordinator, { type: 'cancelRequested', job: job.id });
  }

  jumpClock(ms: number): void {
    this.clockOffMs += Math.trunc(ms);
    if (this.coordinatorProcess !== null) this.coordinatorProcess.clockOffMs = this.clockOffMs;
  }

  /** Once a second: workers that ended are started again, a failed job is resumed, and the words are held to the truth. */
  private lookAfter(): void {
    for (const worker of this.workers) {
      if (worker.process.isAlive || (worker.hasLeft && !this.isCalm)) continue;
      if (this.isCalm || this.random() < 0.4) worker.start();
    }
    const { coordinator, job } = this;
    if (coordinator === null || !coordinator.process.isAlive || coordinator.process.isPaused || job === undefined)
      return this.invariants.forgetWaits();
    this.follow(coordinator);
    if (job.phase === 'Failed' || job.phase === 'Cancelled') this.resume(coordinator, job);
    this.invariants.explained(job, this.truth);
  }

  private resume(coordinator: SimulatedCoordinator, job: JobState): void {
    if (this.isResuming || this.resumes >= RESUMES_MAX) return;
    this.resumes += 1;
    this.isResuming = true;
    if (job.failure !== null) this.failures.push(`${job.failure.code}: ${job.failure.message}`);
    this.trace('client', `the job is ${job.phase}: ${job.failure?.message ?? job.message}`);
    // Somebody looks at the message, and mends what it names.
    this.isPoisoned = false;
    this.shared.isFull = false;
    this.local.isFull = false;
    this.time.after(1_000, null, () => {
      this.isResuming = false;
      if (coordinator.process.isAlive) this.submit(coordinator, { type: 'resumeRequested', job: JOB });
    });
  }

  private becomeCalm(): void {
    this.trace('world', 'becomes calm');
    this.isCalm = true;
    this.local.disarm();
    this.shared.disarm();
    for (const worker of this.workers) {
      this.network.heal(worker.name);
      this.network.linkOf(worker.name).unruly = 0;
    }
  }

  private readonly truth: Truth = {
    isCarriedOut: (name, lease) => {
      const worker = this.workers.find((each) => each.name === name);
      if (worker === undefined || !worker.process.isAlive || worker.process.isPaused) return false;
      return this.network.linkOf(name).cut.size === 0 && worker.isComputing(lease);
    },
    silentEngines: () => {
      const { coordinator, job } = this;
      if (coordinator === null || job === undefined) return [];
      return Object.values(job.leases)
        .filter((lease) => {
          const worker = this.workers.find((each) => each.name === lease.worker);
          const isThere = coordinator.loop.state.workers[lease.worker]?.attached;
          return isThere && this.truth.isCarriedOut(lease.worker, lease) && worker?.engine?.process.isPaused;
        })
        .map(({ worker, task, attempt, epoch }) => `${worker} (${task}, ${attempt}, ${epoch})`);
    },
    idleWorkers: () => {
      const { coordinator, job } = this;
      if (coordinator === null || job === undefined) return [];
      const busy = new Set(Object.values(job.leases).map((lease) => lease.worker));
      return Object.values(coordinator.loop.state.workers)
        .filter((worker) => worker.attached && !worker.draining && !busy.has(worker.id))
        .filter((worker) => fitsVersions(job, worker.capabilities))
        .map((worker) => worker.id);
    },
  };

  private checkEnd(): void {
    const { job, invariants } = this;
    if (invariants.breaches.length > 0) return;
    if (job?.phase !== 'Succeeded') {
      const why = job === undefined ? 'is not known' : `is ${job.phase} (${job.reason}: ${job.message})`;
      invariants.breach(`the job never ended: it ${why}; failures: ${this.failures.slice(-3).join(' | ')}`);
      return;
    }
    this.checkPublished();
    this.checkPerplexities(job);
    if (this.watcher.seen.length !== job.eventSequence)
      invariants.breach(`${job.eventSequence} events, but ${this.watcher.seen.length} were seen`);
    this.checkPromises(job);
  }

  /** The bytes that any run with engines of one version gives. */
  private checkPublished(): void {
    const { shared, invariants, scenario } = this;
    const expected = ENGINE_VERSIONS.map((engine) => expectedShards(scenario.model, engine));
    const isPublished = (shards: ReadonlyMap<string, string>): boolean =>
      [...shards].every(([file, content]) => shared.peek(`${OUTPUT}/${file}`)?.toString() === content);
    if (expected.some(isPublished)) return;
    const found = shared.paths().filter((path) => path.startsWith(`${OUTPUT}/model`));
    const contents = found.map((path) => `${path}: ${shared.peek(path)}`);
    invariants.breach(
      `published ${contents.join('; ')}; expected one of ${JSON.stringify(expected.map((each) => [...each]))}`,
    );
  }

  private checkPerplexities(job: JobState): void {
    const { invariants, scenario } = this;
    const told = this.watcher.perplexities;
    const expected = expectedPerplexities(scenario.model, job.versions?.engineVersion ?? '');
    for (const [text, { dense, pruned }] of expected.entries()) {
      const found = told.get(`file:///text-${text}.txt`) ?? {};
      if (found.dense === dense && found.pruned === pruned) continue;
      invariants.breach(`text ${text}: perplexities ${JSON.stringify(found)}; expected ${dense} and ${pruned}`);
    }
  }

  /** What lives without faults, or in which workers only come and go as they should, are promised beyond that. */
  private checkPromises(job: JobState): void {
    const { faults, poisonedLayer } = this.scenario;
    const places = job.stages.length * (job.plan?.replicasMax ?? 0);
    if (faults.length === 0 && poisonedLayer === null && this.workers.length >= places)
      this.invariants.checkUnexchanged(job);
    const isGentle = poisonedLayer === null && faults.every((kind) => kind === 'drain' || kind === 'join');
    if (!isGentle) return;
    if (this.failures.length > 0) this.invariants.breach(`a gentle life failed: ${this.failures.join(' | ')}`);
    const { workers, model } = this.scenario;
    // One that leaves ends the microbatch that it is at; what takes longer than it may take is computed again.
    const canHandOver = Math.max(...workers) * model.microbatch < HANDS_OVER_WITHIN_MS;
    if (canHandOver && job.workRedone > 0)
      this.invariants.breach(`${job.workRedone} tokens were computed again in a gentle life`);
  }

  private report(): Report {
    return {
      seed: this.scenario.seed,
      breaches: this.invariants.breaches,
      phase: this.job?.phase ?? 'unknown',
      simulatedMs: this.time.nowMs,
      happenings: this.time.count,
      faults: this.faults.counts,
      failures: this.failures,
      events: this.watcher.seen.length,
      most: { ...this.network.most, journalBytes: this.local.sizeBytesMost },
      fingerprint: `${(this.fingerprint >>> 0).toString(16)}-${this.time.count}`,
    };
  }
}
