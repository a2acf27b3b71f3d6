/**
 * What must hold in every simulated life of a job, whatever happens to it. A breach is kept with the time at which it
 * was seen; a life with a breach has failed.
 */

import { fitsVersions } from '../../coordinator/core/drift.ts';
import type { Command } from '../../coordinator/core/events.ts';
import { FAILURES_MAX } from '../../coordinator/core/retries.ts';
import { type CoordinatorState, currentLease, hasEnded, type JobState } from '../../coordinator/core/state.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import type { TaskIdentity } from '../../shared/rpc/generated/secateur/v1/TaskIdentity.ts';
import { type LeaseNumbers, leaseSuffix } from '../../shared/storage/staging-names.ts';
import type { SimulatedDisk } from './disk.ts';
import { digestOf, OUTPUT } from './model.ts';
import { replicasOf } from './replicas.ts';

/** Phase, reason and message say what a job waits for at most this long after it began to wait. */
const EXPLAINED_WITHIN_MS = 10_000;
/** A worker that is gone is noticed within this. */
const NOTICED_WITHIN_MS = 20_000;
/** Messages, timers and the disk take a moment too. */
const SLACK_MS = 2_000;
/** The most that one attempt waits for, with what the ones before it took. */
const RETRIED_WITHIN_MS = 10_000;

export interface Clock {
  readonly nowMs: number;
}

/** What is true at the moment, as nobody in the cluster can know it. */
export interface Truth {
  /** Whether the task of a lease is on its way, runs, or waits with its result. */
  isCarriedOut(worker: string, lease: { task: string; attempt: number; epoch: number }): boolean;
  /** Of the leases, those whose engine stands still while its agent lives and reaches the coordinator. */
  silentEngines(): readonly string[];
  /** Workers that live, can be reached and have nothing to do. */
  idleWorkers(): readonly string[];
}

export class Invariants {
  readonly breaches: string[] = [];
  /** Files that the world has damaged or removed: only of these a job may say that they are lost. */
  readonly rotted = new Set<string>();
  private readonly clock: Clock;
  private readonly shared: SimulatedDisk;
  /** Layer → how often an event told that it was committed. */
  private readonly commits = new Map<string, number>();
  /** Of files that the state counts on: path → digest. */
  private readonly accepted = new Map<string, string>();
  /** Files that the state counted on and does no more. */
  private readonly givenUp = new Set<string>();
  /** Of the newest event: a later one is never of an earlier epoch. */
  private epochTold = 1;
  private readonly givenOut = new Map<string, LeaseNumbers & { worker: string }>();
  private readonly idleLeases = new Map<string, number>();
  private readonly silentSince = new Map<string, number>();
  private retryingSinceMs: number | null = null;
  /** Of each stage, whoever ever had a share of it. */
  private readonly served: Set<string>[] = [];
  private waitingSince: { what: string; atMs: number } | null = null;

  constructor(clock: Clock, shared: SimulatedDisk) {
    this.clock = clock;
    this.shared = shared;
    shared.onName = (path, content) => this.fileChanged(path, content);
  }

  breach(what: string): void {
    if (this.breaches.length < 20) this.breaches.push(`${(this.clock.nowMs / 1000).toFixed(3)} s: ${what}`);
  }

  /** No committed layer is computed again, unless its file is lost; no file goes that the state counts on. */
  commanded(command: Command, state: CoordinatorState): void {
    if (command.kind === 'removeStaged') return this.removed(command, state);
    if (command.kind !== 'assign') return;
    const { spec, identity, worker } = command;
    this.givenOut.set(`${identity.job}/${identity.task}`, { ...identity, worker });
    const job = state.jobs[identity.job];
    const versions = state.workers[worker]?.capabilities;
    if (job && versions && !fitsVersions(job, versions))
      this.breach(`${identity.task} was given to ${worker} of engine ${versions.engineVersion}`);
    const layer = 'layer' in spec ? job?.layers[spec.layer] : undefined;
    const isAgain = spec.kind === 'prune' || (spec.kind === 'pass' && spec.statistics);
    if (isAgain && layer?.status === 'committed')
      this.breach(`${identity.task} was given out after its layer's commit`);
  }

  /** No stage has more replicas at a time than the manifest asks for. Called with every state that is durable. */
  stepped(state: CoordinatorState): void {
    for (const job of Object.values(state.jobs)) {
      for (const [stage, replicas] of replicasOf(job).entries()) {
        const max = job.plan?.replicasMax ?? Number.POSITIVE_INFINITY;
        if (replicas.length > max) this.breach(`stage ${stage} has ${replicas.join(', ')}, but ${max} replicas`);
        this.served[stage] ??= new Set();
        for (const worker of replicas) this.served[stage].add(worker);
      }
    }
  }

  /** Where nobody leaves, and every stage has workers of its own, nobody is exchanged: over its whole life a stage has no more replicas than at a time. */
  checkUnexchanged(job: JobState): void {
    const max = job.plan?.replicasMax ?? Number.POSITIVE_INFINITY;
    for (const [stage, workers] of this.served.entries())
      if (workers.size > max) this.breach(`${[...workers].join(', ')} served stage ${stage}, one after the other`);
  }

  private removed({ job: id, names }: Extract<Command, { kind: 'removeStaged' }>, state: CoordinatorState): void {
    for (const name of names) {
      const isCountedOn = state.jobs[id]?.layers.some((layer) => layer.file?.name === name);
      if (isCountedOn) this.breach(`${name} is to be removed, but the state counts on it`);
      else this.givenUp.add(stagedPath(name));
    }
  }

  /** What is acknowledged is durable. */
  acknowledged(identity: TaskIdentity, state: CoordinatorState): void {
    const whole = { job: '', task: '', attempt: 0, epoch: 0, ...identity };
    if (currentLease(state, whole) !== undefined) this.breach(`${whole.task} was acknowledged before it was journaled`);
  }

  /** Called once for each event that a watcher has not seen before. */
  told(event: JobEvent): void {
    const epoch = Number(event.data.epoch);
    if (!(epoch >= this.epochTold)) this.breach(`event ${event.sequence} is of epoch ${epoch} after ${this.epochTold}`);
    this.epochTold = epoch;
    this.triedOften(event);
    if (event.verb === 'lost' && event.entity !== 'worker' && event.entity !== 'task') return this.toldLoss(event);
    if (event.entity !== 'layer' || event.verb !== 'committed') return;
    const { layer, file, sha256, worker } = event.data as Record<string, string>;
    const key = `${event.job}/${layer}`;
    this.commits.set(key, (this.commits.get(key) ?? 0) + 1);
    if (this.commits.get(key) !== 1) this.breach(`layer ${layer} was committed twice`);
    const lease = this.givenOut.get(`${event.job}/prune-${String(layer).padStart(5, '0')}`);
    if (lease?.worker !== worker) this.breach(`layer ${layer} is ${worker}'s, but ${lease?.worker} had the lease`);
    if (lease && !file?.includes(`-${leaseSuffix(lease)}.`))
      this.breach(`layer ${layer} is ${file}, but the lease is ${leaseSuffix(lease)}`);
    this.accepted.set(stagedPath(file as string), sha256 as string);
  }

  /** Only what is truly lost is computed again. */
  private toldLoss(event: JobEvent): void {
    const { layer, file } = event.data as Record<string, string>;
    const path = stagedPath(file as string);
    if (!this.rotted.has(path)) this.breach(`${file} is said to be lost, but nobody touched it`);
    if (event.entity !== 'layer') return;
    const key = `${event.job}/${layer}`;
    this.commits.set(key, (this.commits.get(key) ?? 0) - 1);
  }

  /** What may pass is tried as often as it may be, and no more often, before it fails a job. */
  private triedOften({ entity, verb, data }: JobEvent): void {
    if (entity !== 'job') return;
    if (verb === 'effectFailed' && !(Number(data.failures) < FAILURES_MAX))
      this.breach(`${data.effect} was to be tried again after ${data.failures} failures`);
    if (verb !== 'failed' || (data.code !== 'StorageFull' && data.code !== 'StorageFailed')) return;
    const isFinal = /^task |were unreadable/.test(String(data.message));
    if (!isFinal && !String(data.message).includes(`(tried ${FAILURES_MAX} times)`))
      this.breach(`the job failed before the last attempt: "${data.message}"`);
  }

  /** No write of a stale lease gets at what the state counts on: nobody writes there any more. */
  private fileChanged(path: string, content: Buffer | null): void {
    if (!this.accepted.has(path) || this.givenUp.has(path)) return;
    this.breach(content === null ? `${path} was removed` : `${path} was written to after its commit`);
  }

  /** What the state counts on is there, as it was written. Called after a loss of power, and at the end. */
  checkFiles(job: JobState): void {
    for (const [index, layer] of job.layers.entries()) {
      if (layer.file === null) continue;
      const path = stagedPath(layer.file.name);
      if (this.rotted.has(path)) continue;
      const content = this.shared.peek(path);
      if (content === undefined) this.breach(`the committed file of layer ${index} is gone`);
      else if (digestOf(content.toString()) !== layer.file.sha256)
        this.breach(`the committed file of layer ${index} is not what was committed`);
    }
  }

  /** Never a silent wait. Called every second with what the coordinator says and what is true. */
  explained(job: JobState | undefined, truth: Truth): void {
    if (job === undefined || hasEnded(job)) return this.forgetWaits();
    if (job.reason === '' || job.message === '') this.breach(`${job.phase} without a reason or a message`);
    this.checkLeases(job, truth);
    this.checkRetries(job);
    this.checkSilence(job, truth);
    const what = `${job.phase} ${job.reason}`;
    const isWaiting = Object.keys(job.leases).length === 0 && job.phase !== 'Assembling';
    if (!isWaiting) {
      this.waitingSince = null;
      return;
    }
    if (this.waitingSince?.what !== what) this.waitingSince = { what, atMs: this.clock.nowMs };
    const waitedMs = this.clock.nowMs - this.waitingSince.atMs;
    if (waitedMs <= EXPLAINED_WITHIN_MS + SLACK_MS) return;
    if (job.reason === 'Running') this.breach(`${what} for ${waitedMs} ms, but nothing is leased: "${job.message}"`);
    const idle = truth.idleWorkers();
    if (job.reason === 'WaitingForWorker' && idle.length > 0)
      this.breach(`${what} for ${waitedMs} ms, but ${idle.join(', ')} could work: "${job.message}"`);
    if (waitedMs > 3 * NOTICED_WITHIN_MS && idle.length > 0)
      this.breach(`${what} for ${waitedMs} ms while ${idle.join(', ')} could work: "${job.message}"`);
  }

  /** Nothing that waits for its next attempt waits for ever. */
  private checkRetries(job: JobState): void {
    if (job.reason !== 'WaitingToRetry') {
      this.retryingSinceMs = null;
      return;
    }
    this.retryingSinceMs ??= this.clock.nowMs;
    if (this.clock.nowMs - this.retryingSinceMs > RETRIED_WITHIN_MS + SLACK_MS)
      this.breach(`${job.phase} WaitingToRetry since ${this.retryingSinceMs} ms: "${job.message}"`);
  }

  /** The coordinator is not there, or stands still: nobody can expect a word of it. */
  forgetWaits(): void {
    this.silentSince.clear();
    this.idleLeases.clear();
    this.retryingSinceMs = null;
    this.waitingSince = null;
  }

  /** An engine that hangs is said to, and since when. */
  private checkSilence(job: JobState, truth: Truth): void {
    const silent = new Set(truth.silentEngines());
    for (const key of this.silentSince.keys()) if (!silent.has(key)) this.silentSince.delete(key);
    for (const key of silent) {
      const sinceMs = this.silentSince.get(key) ?? this.clock.nowMs;
      this.silentSince.set(key, sinceMs);
      const silentMs = this.clock.nowMs - sinceMs;
      if (silentMs > EXPLAINED_WITHIN_MS + SLACK_MS && job.reason !== 'EngineSilent')
        this.breach(
          `the engine of ${key} is silent for ${silentMs} ms, but the job is ${job.reason}: "${job.message}"`,
        );
    }
  }

  private checkLeases(job: JobState, truth: Truth): void {
    const seen = new Set<string>();
    for (const lease of Object.values(job.leases)) {
      const key = `${lease.task}/${lease.attempt}/${lease.epoch}`;
      seen.add(key);
      if (truth.isCarriedOut(lease.worker, lease)) {
        this.idleLeases.delete(key);
        continue;
      }
      const since = this.idleLeases.get(key) ?? this.clock.nowMs;
      this.idleLeases.set(key, since);
      if (this.clock.nowMs - since > NOTICED_WITHIN_MS + SLACK_MS) {
        this.breach(
          `${lease.task} is leased to ${lease.worker}, which does nothing about it for ${NOTICED_WITHIN_MS} ms`,
        );
        this.idleLeases.set(key, Number.POSITIVE_INFINITY);
      }
    }
    for (const key of this.idleLeases.keys()) if (!seen.has(key)) this.idleLeases.delete(key);
  }
}

function stagedPath(name: string): string {
  return `${OUTPUT}/.secateur/${name}`;
}
