/** One job on one cluster: a coordinator process, a nats-server, worker processes; and what it took. */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { statSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { jetstreamManager } from '@nats-io/jetstream';
import { connect } from '@nats-io/transport-node';
import { Connection } from '../cli/connection.ts';
import { SYSTEM_DISK } from '../coordinator/journal/disk.ts';
import { Journal } from '../coordinator/journal/journal.ts';
import { type CloudEvent, fromCloudEvent } from '../shared/events/cloud-event.ts';
import type { JobEvent } from '../shared/events/job-event.ts';
import { findNatsServer, type NatsServer, startNatsServer } from '../test/support/nats-server.ts';
import { Bench, type SecateurProcess } from '../test/support/secateur-process.ts';
import { tinyManifest, writeTinyModel } from '../test/support/tiny-model.ts';
import { cpuSecondsOf, peakResidentBytesOf } from './process-usage.ts';

const WORKERS_PER_PROCESS = 16;
const WORKERS_MAIN = fileURLToPath(new URL('./scale-workers.ts', import.meta.url));
const ATTACHED_MS_MAX = 60_000;
const NATS_MS_MAX = 60_000;
const POLL_MS = 20;
const JOURNAL_INTERVAL_MS = 100;

export interface ScaleShape {
  readonly workers: number;
  readonly layers: number;
  readonly microbatches: number;
  /** What one worker alone computes in one layer: half of it to calibrate, half to go forward. */
  readonly layerMs: number;
  readonly propagate: 'pruned' | 'dense';
  readonly stages: number;
  readonly intermediate: number;
  /** Where the coordinator's CPU profile goes; null for none. */
  readonly profile: string | null;
}

export interface ScaleResult extends Omit<ScaleShape, 'profile'> {
  /** From the submission to the last event. */
  readonly jobMs: number;
  /** Between one layer's commit and the next's, on average, the first one left out: it has the start of everything. */
  readonly layerWallMs: number;
  /** What the slowest replica computes in that time, were the microbatches shared out evenly. */
  readonly layerIdealMs: number;
  /** Of the wall time: choosing and zeroing weights, and the commit, as the workers measured them. */
  readonly layerPruneMs: number;
  /** The rest, where a layer's prune holds everybody up (pruned); else wall less ideal. */
  readonly layerOverheadMs: number;
  readonly coordinatorCpuSeconds: number;
  /** Of one core, over the job. */
  readonly coordinatorCpuShare: number;
  readonly coordinatorPeakBytes: number;
  /** Of the processes that stand for the workers, which share this machine with the coordinator. */
  readonly workersCpuSeconds: number;
  readonly tasks: number;
  readonly tasksPerSecond: number;
  readonly steps: number;
  readonly stepsPerSecond: number;
  readonly journalBytes: number;
  readonly events: number;
  readonly eventsPerSecond: number;
  /** What NATS holds when it has all, and how long after the job's end that was; null without a nats-server. */
  readonly nats: { readonly events: number; readonly lagMs: number } | null;
  readonly tokensAgain: number;
}

export async function runScale(shape: ScaleShape): Promise<ScaleResult> {
  await using bench = new Bench();
  const nats = await startNats();
  const children: ChildProcess[] = [];
  try {
    await writeTinyModel(bench.path('model'), {
      layers: shape.layers,
      samples: shape.microbatches,
      intermediate: shape.intermediate,
    });
    const coordinator = startCoordinator(bench, nats, shape.profile);
    const address = (await coordinator.printed(/listens on (\S+:\d+)/))[1] as string;
    children.push(...startWorkers(address, shape));
    using connection = new Connection(address);
    await untilAttached(connection, shape.workers);
    const run = await runJob(bench, connection, coordinator, children, shape);
    const lag = nats === null ? null : await untilPublished(nats, run.events.length);
    for (const child of children) child.send('stop');
    await Promise.all(children.map((child) => once(child, 'exit')));
    await coordinator.kill('SIGTERM');
    return { ...(await resultOf(bench, shape, run)), nats: lag };
  } finally {
    for (const child of children) child.kill('SIGKILL');
    await nats?.stop();
  }
}

async function startNats(): Promise<NatsServer | null> {
  const source = await findNatsServer();
  if (source.kind !== 'none') return startNatsServer(source);
  console.error(`without NATS: ${source.why}`);
  return null;
}

function startCoordinator(bench: Bench, nats: NatsServer | null, profile: string | null): SecateurProcess {
  const args = ['coordinator', '--state', bench.path('state'), '--listen', '127.0.0.1:0'];
  const env = profile === null ? {} : { NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${profile}` };
  return bench.start(nats === null ? args : [...args, '--nats', nats.url], env);
}

function startWorkers(address: string, { workers, layerMs, microbatches }: ScaleShape): ChildProcess[] {
  const children: ChildProcess[] = [];
  for (let first = 0; first < workers; first += WORKERS_PER_PROCESS) {
    const count = Math.min(WORKERS_PER_PROCESS, workers - first);
    children.push(fork(WORKERS_MAIN, [address, first, count, layerMs / 2 / microbatches].map(String)));
  }
  return children;
}

async function untilAttached(connection: Connection, count: number): Promise<void> {
  const giveUpMs = performance.now() + ATTACHED_MS_MAX;
  for (;;) {
    const attached = (await connection.workers()).filter((worker) => worker.attached).length;
    if (attached === count) return;
    if (performance.now() > giveUpMs) throw new Error(`${attached} of ${count} workers attached`);
    await pause(POLL_MS);
  }
}

interface JobRun {
  readonly events: readonly JobEvent[];
  readonly jobMs: number;
  readonly cpuSeconds: number;
  readonly workersCpuSeconds: number;
  readonly peakBytes: number;
  readonly journalBytes: number;
}

async function runJob(
  bench: Bench,
  connection: Connection,
  coordinator: SecateurProcess,
  children: readonly ChildProcess[],
  shape: ScaleShape,
): Promise<JobRun> {
  const processId = coordinator.child.pid as number;
  const journal = new JournalGrowth(join(bench.path('state'), 'journal.jsonl'));
  const cpuOfWorkers = (): number => children.reduce((sum, child) => sum + cpuSecondsOf(child.pid as number), 0);
  const [cpuBefore, workersCpuBefore] = [cpuSecondsOf(processId), cpuOfWorkers()];
  const begunMs = performance.now();
  const { propagate, stages } = shape;
  const manifest = tinyManifest(bench.path('model'), { name: 'scale', output: bench.path('out'), propagate, stages });
  const { id: job, namespace } = await connection.submit(manifest);
  const events: JobEvent[] = [];
  for await (const { eventJson } of connection.watch({ job, namespace, afterSequence: 0 })) {
    if (eventJson) events.push(fromCloudEvent(JSON.parse(eventJson) as CloudEvent));
  }
  const jobMs = performance.now() - begunMs;
  const last = events.at(-1);
  if (last?.entity !== 'job' || last.verb !== 'succeeded') throw new Error(`the job ended: ${JSON.stringify(last)}`);
  return {
    events,
    jobMs,
    cpuSeconds: cpuSecondsOf(processId) - cpuBefore,
    workersCpuSeconds: cpuOfWorkers() - workersCpuBefore,
    peakBytes: peakResidentBytesOf(processId),
    journalBytes: journal.stop(),
  };
}

/** Everything that was appended, over compactions, to within what came in one interval before one. */
class JournalGrowth {
  private readonly path: string;
  private readonly timer: NodeJS.Timeout;
  private lastBytes: number;
  private grownBytes = 0;

  constructor(path: string) {
    this.path = path;
    this.lastBytes = statSync(path).size;
    this.timer = setInterval(() => this.look(), JOURNAL_INTERVAL_MS);
  }

  stop(): number {
    clearInterval(this.timer);
    this.look();
    return this.grownBytes;
  }

  private look(): void {
    const bytes = statSync(this.path).size;
    this.grownBytes += Math.max(0, bytes - this.lastBytes);
    this.lastBytes = bytes;
  }
}

async function untilPublished(nats: NatsServer, count: number): Promise<{ events: number; lagMs: number }> {
  const connection = await connect({ servers: nats.url });
  try {
    const { streams } = await jetstreamManager(connection);
    const begunMs = performance.now();
    for (;;) {
      const events = (await streams.info('SECATEUR')).state.messages;
      const lagMs = performance.now() - begunMs;
      if (events >= count || lagMs > NATS_MS_MAX) return { events, lagMs };
      await pause(POLL_MS);
    }
  } finally {
    await connection.close();
  }
}

async function resultOf(bench: Bench, shape: ScaleShape, run: JobRun): Promise<Omit<ScaleResult, 'nats'>> {
  const { profile: _profile, ...rest } = shape;
  const { events, jobMs, cpuSeconds } = run;
  const seconds = jobMs / 1000;
  const { records } = await Journal.read(SYSTEM_DISK, bench.path('state'));
  const tasks = records.filter(({ event }) => event.type === 'taskSucceeded').length;
  return {
    ...rest,
    jobMs,
    ...layerFigures(shape, events),
    coordinatorCpuSeconds: cpuSeconds,
    coordinatorCpuShare: cpuSeconds / seconds,
    coordinatorPeakBytes: run.peakBytes,
    workersCpuSeconds: run.workersCpuSeconds,
    tasks,
    tasksPerSecond: tasks / seconds,
    steps: records.length,
    stepsPerSecond: records.length / seconds,
    journalBytes: run.journalBytes,
    events: events.length,
    eventsPerSecond: events.length / seconds,
    tokensAgain: Number(events.at(-1)?.data.tokensAgain ?? 0),
  };
}

function layerFigures(
  { workers, microbatches, layers, layerMs, propagate, stages }: ScaleShape,
  events: readonly JobEvent[],
): Pick<ScaleResult, 'layerWallMs' | 'layerIdealMs' | 'layerPruneMs' | 'layerOverheadMs'> {
  const commits = events.filter(({ entity, verb }) => entity === 'layer' && verb === 'committed');
  const [first, last] = [commits[0] as JobEvent, commits.at(-1) as JobEvent];
  const layerWallMs = (last.atMs - first.atMs) / (layers - 1);
  const replicas = Math.max(1, Math.floor(workers / stages));
  const shareMs = (Math.ceil(microbatches / replicas) / microbatches) * layerMs;
  // Between the first commit and the last: dense, the last layer has only its first half.
  const layerIdealMs = propagate === 'pruned' ? shareMs : (shareMs * (layers - 1.5)) / (layers - 1);
  const prunes = commits.slice(1).map(({ data }) => Number(data.pruneMs) + Number(data.commitMs));
  const layerPruneMs = prunes.reduce((sum, ms) => sum + ms, 0) / prunes.length;
  const heldUpMs = propagate === 'pruned' ? layerPruneMs : 0;
  return { layerWallMs, layerIdealMs, layerPruneMs, layerOverheadMs: layerWallMs - layerIdealMs - heldUpMs };
}
