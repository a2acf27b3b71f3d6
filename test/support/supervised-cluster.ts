/**
 * A coordinator, workers and a nats-server as real processes, each started again when it dies, over many jobs; and what
 * one job left behind: how it ended, its events as they were told, as they are told afterwards, and as NATS has them.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { jetstream, jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Connection } from '../../cli/connection.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { type CloudEvent, natsJobFilter } from '../../shared/events/cloud-event.ts';
import { type FailpointAction, type FailpointName, failpointFile } from '../../shared/failpoint.ts';
import { parseManifest } from '../../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import { freePort, type NatsServer, type NatsServerSource, startNatsServer } from './nats-server.ts';
import { childrenOf } from './process-tree.ts';
import { Bench, type ManifestOptions, microManifest } from './secateur-process.ts';
import { SupervisedProcess } from './supervised-process.ts';

const JOB_MS_MAX = 90_000;
const RETRY_MS = 50;
const NATS_MS_MAX = 30_000;

/** Whose failpoints: the coordinator's process, or those of the workers (agents and engines). */
export type Side = 'coordinator' | 'workers';

export interface ClusterOptions {
  readonly nats?: NatsServerSource;
  /** Where the state folder is; below the bench by default. */
  readonly state?: string;
  readonly slowMs?: number;
}

export interface JobRun {
  readonly job: Job__Output;
  readonly output: string;
  /** As they were told while it ran, over every restart of the coordinator. */
  readonly told: readonly CloudEvent[];
  /** As a watcher that comes afterwards hears them. */
  readonly retold: readonly CloudEvent[];
  /** As NATS has them; null where the cluster has no NATS. */
  readonly published: readonly CloudEvent[] | null;
  /** Tasks that workers began for it: more than in a quiet run is work that was done again. */
  readonly begun: number;
}

export class SupervisedCluster implements AsyncDisposable {
  readonly bench: Bench;
  readonly address: string;
  readonly coordinator: SupervisedProcess;
  readonly workers = new Map<string, SupervisedProcess>();
  readonly nats: NatsServer | null;
  readonly connection: Connection;
  readonly state: string;
  private readonly slowMs: number;
  private jobs = 0;

  private constructor(bench: Bench, address: string, nats: NatsServer | null, options: ClusterOptions) {
    this.bench = bench;
    this.address = address;
    this.nats = nats;
    this.slowMs = options.slowMs ?? 0;
    this.state = options.state ?? bench.path('state');
    for (const side of ['coordinator', 'workers'] as const) mkdirSync(this.folderOf(side), { recursive: true });
    const args = ['coordinator', '--state', this.state, '--listen', address];
    this.coordinator = new SupervisedProcess(bench, nats === null ? args : [...args, '--nats', nats.url], {
      SECATEUR_FAILPOINT_FOLDER: this.folderOf('coordinator'),
      SECATEUR_COMPACT_BYTES: '8192',
    });
    this.connection = new Connection(address);
  }

  static async start(options: ClusterOptions = {}): Promise<SupervisedCluster> {
    const bench = new Bench();
    const nats = options.nats === undefined ? null : await startNatsServer(options.nats);
    const cluster = new SupervisedCluster(bench, `127.0.0.1:${await freePort()}`, nats, options);
    await cluster.coordinator.current.printed(/listens on/);
    return cluster;
  }

  /** Starts workers that are there until the cluster ends, and waits until they are attached. */
  async addWorkers(workers: Readonly<Record<string, readonly string[]>>): Promise<void> {
    for (const [name, extra] of Object.entries(workers)) {
      const args = ['worker', '--coordinator', this.address, '--name', name, '--cache', this.bench.path('cache', name)];
      const env = { SECATEUR_FAILPOINT_FOLDER: this.folderOf('workers'), SECATEUR_SLOW_MS: String(this.slowMs) };
      this.workers.set(name, new SupervisedProcess(this.bench, [...args, ...extra], env));
    }
    for (const name of Object.keys(workers)) await this.workers.get(name)?.current.printed(/attached to/);
  }

  /** Waits until the coordinator is there and every worker is attached: one disturbance must not meet the one before. */
  async settle(): Promise<void> {
    await this.patiently(async () => {
      const there = (await this.connection.workers()).filter((worker) => worker.attached).map(({ worker }) => worker);
      const missing = [...this.workers.keys()].filter((name) => !there.includes(name));
      if (missing.length > 0) throw new SecateurError('Unavailable', `not attached: ${missing.join(', ')}`);
    });
  }

  /** The failpoint fires the next time that a process of that side comes past it, once. */
  arm(side: Side, name: FailpointName, action: FailpointAction = null): void {
    writeFileSync(this.markerOf(side, name, action), '');
  }

  /** When it fired; null where nobody came past it. */
  firedAtMs(side: Side, name: FailpointName, action: FailpointAction = null): number | null {
    return this.fired(side, name, action)?.atMs ?? null;
  }

  /** In which process it fired, when; null where nobody came past it. */
  fired(side: Side, name: FailpointName, action: FailpointAction): { atMs: number; processId: number } | null {
    let text: string;
    try {
      text = readFileSync(`${this.markerOf(side, name, action)}.fired`, 'utf8');
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw thrown;
    }
    // It has its name a moment before it has its content.
    return text === '' ? null : (JSON.parse(text) as { atMs: number; processId: number });
  }

  /** Waits until a process stands still there. @returns since when, and which */
  async standsStill(side: Side, name: FailpointName): Promise<{ atMs: number; processId: number }> {
    const giveUpMs = performance.now() + JOB_MS_MAX;
    for (;;) {
      const fired = this.fired(side, name, 'PAUSE');
      if (fired !== null) return fired;
      if (performance.now() > giveUpMs) throw new Error(`nobody came past ${name} in ${JOB_MS_MAX / 1000} s`);
      await pause(RETRY_MS);
    }
  }

  /** Lets it go on. */
  release(side: Side, name: FailpointName): void {
    rmSync(`${this.markerOf(side, name, 'PAUSE')}.fired`, { force: true });
  }

  disarmAll(): void {
    for (const side of ['coordinator', 'workers'] as const) {
      for (const entry of readdirSync(this.folderOf(side))) rmSync(join(this.folderOf(side), entry), { force: true });
    }
  }

  engineOf(worker: string): number | undefined {
    const agent = this.workers.get(worker)?.processId;
    return agent === undefined ? undefined : childrenOf(agent)[0];
  }

  /** Runs a job of micro-llama to its end, through every outage of the coordinator. `heard` sees each event as it is told. */
  async run(
    options: Partial<ManifestOptions> = {},
    heard: (event: CloudEvent) => void = () => undefined,
  ): Promise<JobRun> {
    this.jobs += 1;
    const output = options.output ?? this.bench.path(`out-${this.jobs}`);
    const manifest = manifestOf({ name: `job-${this.jobs}`, ...options, output });
    return this.follow(await this.submit(manifest), output, [], heard);
  }

  /** Lets a failed or cancelled job go on, to its end. */
  async resume(run: JobRun): Promise<JobRun> {
    const reference = { job: run.job.id, namespace: run.job.namespace };
    const job = await this.patiently(() => this.connection.resume(reference));
    return this.follow(job, run.output, run.told, () => undefined);
  }

  /** Ends what a failed test left running, so that the next test's job has its turn. */
  async cancelAll(): Promise<void> {
    const { jobs } = await this.patiently(() => this.connection.list(''));
    for (const { id, namespace, endedMs } of jobs) {
      if (endedMs === 0) await this.connection.cancel({ job: id, namespace }).catch(() => undefined);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.connection[Symbol.dispose]();
    for (const worker of this.workers.values()) await worker.stop();
    await this.coordinator.stop();
    await this.nats?.stop();
    await this.bench[Symbol.asyncDispose]();
  }

  private async submit(manifest: Manifest): Promise<Job__Output> {
    const { name, namespace } = manifest.metadata;
    return this.patiently(async () => {
      try {
        return await this.connection.submit(manifest);
      } catch (thrown) {
        // The coordinator died after it took the job, and before it answered.
        if (!(thrown instanceof SecateurError) || thrown.code !== 'JobExists') throw thrown;
        return this.connection.get({ job: name, namespace });
      }
    });
  }

  private async follow(
    { id, namespace }: Job__Output,
    output: string,
    before: readonly CloudEvent[],
    heard: (event: CloudEvent) => void,
  ): Promise<JobRun> {
    const reference = { job: id, namespace };
    const told = [...before];
    const job = await this.patiently(async () => {
      for await (const { eventJson } of this.connection.watch({ ...reference, afterSequence: told.length })) {
        if (!eventJson) continue;
        const event = JSON.parse(eventJson) as CloudEvent;
        told.push(event);
        heard(event);
      }
      return this.connection.get(reference);
    });
    const retold = await this.patiently(() => this.retell(reference));
    const published = this.nats === null ? null : await readPublished(this.nats.url, reference, retold.length);
    return { job, output, told, retold, published, begun: this.begunFor(id) };
  }

  private begunFor(job: string): number {
    const printed = [...this.workers.values()].map((worker) => worker.printed()).join('');
    return printed.split('\n').filter((line) => / begins /.test(line) && line.includes(`job=${job} `)).length;
  }

  private async retell(reference: { job: string; namespace: string }): Promise<CloudEvent[]> {
    const events: CloudEvent[] = [];
    for await (const { eventJson } of this.connection.watch({ ...reference, afterSequence: 0 })) {
      if (eventJson) events.push(JSON.parse(eventJson) as CloudEvent);
    }
    return events;
  }

  /** Repeats a call while the coordinator is away. */
  private async patiently<T>(call: () => Promise<T>): Promise<T> {
    const giveUpMs = performance.now() + JOB_MS_MAX;
    for (;;) {
      try {
        return await call();
      } catch (thrown) {
        const isAway =
          thrown instanceof SecateurError && ['Unavailable', 'Cancelled', 'DeadlineExceeded'].includes(thrown.code);
        if (!isAway || performance.now() > giveUpMs) throw thrown;
      }
      await pause(RETRY_MS);
    }
  }

  private folderOf(side: Side): string {
    return this.bench.path('failpoints', side);
  }

  private markerOf(side: Side, name: FailpointName, action: FailpointAction): string {
    return join(this.folderOf(side), failpointFile(name, action));
  }
}

function manifestOf(options: ManifestOptions): Manifest {
  return resolveLocations(parseManifest(microManifest(options), 'manifest'), dirname(options.output));
}

/** Everything that NATS has of a job, read again until it is as much as was told, or for as long as it may take. */
async function readPublished(
  url: string,
  { job, namespace }: { job: string; namespace: string },
  expected: number,
): Promise<CloudEvent[]> {
  const giveUpMs = performance.now() + NATS_MS_MAX;
  for (;;) {
    try {
      const found = await readOnce(url, natsJobFilter(namespace, job));
      if (found.length >= expected || performance.now() > giveUpMs) return found;
    } catch (thrown) {
      // It is being started again, or its stream is not made yet.
      if (performance.now() > giveUpMs) throw thrown;
    }
    await pause(RETRY_MS);
  }
}

async function readOnce(url: string, filter: string): Promise<CloudEvent[]> {
  const connection = await connect({ servers: url, reconnect: false, timeout: 1_000 });
  try {
    const { streams } = await jetstreamManager(connection);
    const { state } = await streams.info('SECATEUR', { subjects_filter: filter });
    const count = Object.values(state.subjects ?? {}).reduce((sum, each) => sum + each, 0);
    if (count === 0) return [];
    const consumer = await jetstream(connection).consumers.get('SECATEUR', { filter_subjects: filter });
    const events: CloudEvent[] = [];
    for await (const message of await consumer.fetch({ max_messages: count, expires: 2_000 })) {
      events.push(message.json<CloudEvent>());
    }
    return events;
  } finally {
    await connection.close();
  }
}
