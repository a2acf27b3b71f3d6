/** What goes wrong in a simulated life, and when: drawn from the seed, one fault after the other, until it becomes calm. */
import type { JobState } from '../../coordinator/core/state.ts';
import type { SimulatedCoordinator } from './coordinator-node.ts';
import type { SimulatedDisk } from './disk.ts';
import type { Invariants } from './invariants.ts';
import type { SimulatedNetwork } from './network.ts';
import type { FaultKind, Scenario } from './scenario.ts';
import type { SimulatedProcess, SimulatedTime } from './time.ts';
import type { SimulatedWorker } from './worker-node.ts';

const WORKERS_MAX = 8;
/** Of these, not the temporary ones. */
const ROTS = /\/(snapshots|statistics|calibration|layers|publish)\/.*(?<!\.tmp)$/;
/** Longer than any life. */
const FOR_EVER_MS = 24 * 3_600_000;

/** What of the world things can go wrong with. */
export interface Fallible {
  readonly scenario: Scenario;
  readonly time: SimulatedTime;
  readonly random: () => number;
  readonly local: SimulatedDisk;
  readonly shared: SimulatedDisk;
  readonly network: SimulatedNetwork;
  readonly invariants: Invariants;
  readonly workers: readonly SimulatedWorker[];
  readonly coordinator: SimulatedCoordinator | null;
  readonly coordinatorProcess: SimulatedProcess | null;
  readonly isCalm: boolean;
  readonly job: JobState | undefined;
  trace(who: string, text: string): void;
  addWorker(sampleMs: number, engineVersion?: string): SimulatedWorker;
  startCoordinator(): void;
  pause(process: SimulatedProcess, ms: number): void;
  jumpClock(ms: number): void;
  cancel(): void;
}

export class Faults {
  readonly counts: Record<string, number> = {};
  private readonly world: Fallible;

  constructor(world: Fallible) {
    this.world = world;
  }

  begin(): void {
    const { scenario } = this.world;
    if (scenario.faults.length > 0) this.next();
  }

  private next(): void {
    const { world } = this;
    const { scenario, random } = world;
    world.time.after(-Math.log(1 - random()) * scenario.faultEveryMs, null, () => {
      if (world.isCalm) return;
      const kind = scenario.faults[Math.floor(random() * scenario.faults.length)] as FaultKind;
      this.counts[kind] = (this.counts[kind] ?? 0) + 1;
      this.happen(kind);
      this.next();
    });
  }

  private anyWorker(): SimulatedWorker {
    const { workers, random } = this.world;
    return workers[Math.floor(random() * workers.length)] as SimulatedWorker;
  }

  /** Some last a moment, some longer than anybody waits. */
  private duration(): number {
    return 10 ** (2 + this.world.random() * 2.7);
  }

  private happen(kind: FaultKind): void {
    const { world } = this;
    const worker = this.anyWorker();
    const coordinator = world.coordinatorProcess;
    const isAboutWorker = /Worker|cut|Streams|drain|Engine|failShared|forget/.test(kind);
    world.trace('world', isAboutWorker ? `${kind} ${worker.name}` : kind);
    switch (kind) {
      case 'killWorker':
        return worker.process.kill();
      case 'killEngine':
        return worker.engine?.crash();
      case 'killCoordinator':
        return coordinator?.kill();
      case 'killCoordinatorAtDisk':
        if (coordinator !== null) {
          this.killAt(world.local, coordinator);
          this.killAt(world.shared, coordinator);
        }
        return;
      case 'killEngineAtDisk':
        if (worker.engine !== null) this.killAt(world.shared, worker.engine.process, () => worker.engine?.crash());
        return;
      case 'losePowerCoordinator':
        return this.losePowerCoordinator();
      case 'losePowerWorker':
        return this.losePowerWorker(worker);
      case 'losePowerEverywhere':
        return this.losePowerEverywhere();
      case 'cutBoth':
        return this.cut(worker, 'both');
      case 'cutToWorker':
        return this.cut(worker, 'worker');
      case 'cutToCoordinator':
        return this.cut(worker, 'coordinator');
      case 'breakStreams':
        return world.network.breakStreams(worker.name);
      case 'pauseEngine':
        return this.hang(worker);
      case 'echo':
        return this.echo();
      case 'pauseWorker':
        return world.pause(worker.process, this.duration());
      case 'pauseCoordinator':
        return coordinator === null ? undefined : world.pause(coordinator, this.duration());
      case 'drain':
        return worker.agent?.drain();
      case 'join':
        if (world.workers.length < WORKERS_MAX) world.addWorker(worker.settings.sampleMs).start();
        return;
      case 'fullLocal':
        return this.fill(world.local);
      case 'fullShared':
        return this.fill(world.shared);
      case 'failLocal':
        world.local.failNext = coordinator;
        return;
      case 'failShared':
        world.shared.failNext = world.random() < 0.3 ? coordinator : (worker.engine?.process ?? null);
        return;
      case 'clockJump':
        return world.jumpClock((world.random() - 0.5) * 10 ** (3 + world.random() * 5));
      case 'secondCoordinator':
        return world.startCoordinator();
      case 'cancel':
        if (world.random() < 0.2) world.cancel();
        return;
      case 'forget':
        return worker.engine?.forget();
      case 'rot':
        return this.rot();
      case 'hiccups':
        // Its journal is elsewhere: that a write to it fails is its end.
        return coordinator === null ? undefined : this.hiccup(world.shared, coordinator);
      case 'joinOther':
        if (world.workers.length < WORKERS_MAX) world.addWorker(worker.settings.sampleMs, '2').start();
        return;
    }
  }

  /** As SIGSTOP: for a while, or until somebody ends it. */
  private hang({ engine }: SimulatedWorker): void {
    engine?.process.pause(this.world.random() < 0.1 ? FOR_EVER_MS : this.duration());
  }

  /** As soon as there is a stream, and an earlier epoch in which something was said. */
  private echo(): void {
    const { network, time } = this.world;
    if (this.world.isCalm || network.echo(this.anyWorker().name)) return;
    time.after(1_000, null, () => this.echo());
  }

  private killAt(disk: SimulatedDisk, process: SimulatedProcess, died?: () => void): void {
    const operations = 1 + Math.floor(this.world.random() * 12);
    disk.killAt(process, operations, this.world.random() < 0.5 ? 'before' : 'after', died);
  }

  private losePowerCoordinator(): void {
    const { world } = this;
    world.coordinatorProcess?.kill();
    world.local.losePower(null);
    world.shared.losePower(world.coordinatorProcess);
    this.checkFiles();
  }

  private losePowerWorker(worker: SimulatedWorker): void {
    worker.engine?.process.kill();
    worker.process.kill();
    if (worker.engine !== null) this.world.shared.losePower(worker.engine.process);
    this.checkFiles();
  }

  private losePowerEverywhere(): void {
    const { world } = this;
    world.coordinatorProcess?.kill();
    for (const worker of world.workers) {
      worker.engine?.process.kill();
      worker.process.kill();
    }
    world.local.losePower(null);
    world.shared.losePower(null);
    this.checkFiles();
  }

  private checkFiles(): void {
    const jobs = this.world.coordinator?.loop.state.jobs ?? {};
    for (const job of Object.values(jobs)) this.world.invariants.checkFiles(job);
  }

  /**
   * A snapshot, statistics, the token ids, a committed layer or a shard that waits to be published is gone, or is not what
   * was written. All of them can be had again. (After the last look before it is moved, nobody can help a shard.)
   */
  private rot(): void {
    const { local, shared, random, invariants, job } = this.world;
    const disk = random() < 0.5 ? local : shared;
    const isMoved = job?.reason === 'Publishing' || job?.phase === 'Succeeded';
    const paths = disk.paths().filter((path) => ROTS.test(path) && !(isMoved && path.includes('/publish/')));
    const path = paths[Math.floor(random() * paths.length)];
    if (path === undefined) return;
    disk.rot(path);
    invariants.rotted.add(path);
  }

  private cut(worker: SimulatedWorker, side: 'both' | 'worker' | 'coordinator'): void {
    const { network, time } = this.world;
    network.cut(worker.name, side);
    time.after(this.duration(), null, () => network.heal(worker.name));
  }

  private hiccup(disk: SimulatedDisk, process: SimulatedProcess): void {
    const hiccups = { of: process, chance: this.world.random() * 0.6 };
    disk.hiccups = hiccups;
    this.world.time.after(this.duration(), null, () => {
      if (disk.hiccups === hiccups) disk.hiccups = null;
    });
  }

  private fill(disk: SimulatedDisk): void {
    disk.isFull = true;
    this.world.time.after(this.duration() / 4, null, () => {
      disk.isFull = false;
    });
  }
}
