/** Workers that come, go, come back, and what their going means for the tasks and the hidden states they had. */
import { difference, isEmpty, NO_MICROBATCHES } from '../../shared/microbatch-set.ts';
import type { EventOf } from './events.ts';
import { checkInputsAgain, failJob, removeUnfinished } from './lifecycle.ts';
import { charge, chargedBy, retryOf, worstOf } from './retries.ts';
import { handOverTask } from './schedule.ts';
import { dropShares } from './shares.ts';
import {
  activeJob,
  currentLease,
  type HiddenStates,
  hasEnded,
  type JobState,
  jobOf,
  type Lease,
  own,
  without,
  workerOf,
} from './state.ts';
import { taskKind } from './task.ts';
import { noteLease } from './timeline.ts';
import type { Transition } from './transition.ts';

/** How long a worker whose stream broke may take to come back before its work is given to another. */
export const RECONNECT_GRACE_MS = 6_000;
/** A task whose worker vanished this often takes its workers down: the job fails rather than loop. */
export const LOST_MAX = 8;

/**
 * A task that gets no further for this long is given to another. Above ENGINE_SILENCE_MAX_MS of the agent, which ends such
 * an engine by itself: this is for agents that do not.
 */
export const TASK_QUIET_MAX_MS = 20 * 60_000;
/** Others are preferred for so long to a worker that let a task lie: each more that it has may cost as much time. */
const QUIET_SHUN_MS = 60 * 60_000;

/** A new process of the coordinator: a new epoch; no worker is attached yet, each gets its grace period to return. */
export function coordinatorStarted(t: Transition): void {
  t.setEpoch(t.state.epoch + 1);
  for (const worker of Object.values(t.state.workers)) {
    t.setWorker({ ...worker, attached: false, sinceMs: t.nowMs });
  }
  for (const job of Object.keys(t.state.jobs)) checkInputsAgain(t, job);
}

export function workerAttached(t: Transition, event: EventOf<'workerAttached'>): void {
  const before = workerOf(t.state, event.worker);
  const isSameProcess = before?.incarnation === event.incarnation;
  if (before !== undefined && !isSameProcess) loseWorker(t, event.worker, 'it restarted');
  t.setWorker({
    id: event.worker,
    incarnation: event.incarnation,
    capabilities: event.capabilities,
    attached: true,
    draining: isSameProcess && before.draining,
    dismissed: false,
    sinceMs: t.nowMs,
  });
  for (const job of Object.values(t.state.jobs)) reconcile(t, job, event);
  abortUnknownTasks(t, event);
  takeHoldings(t, event);
  const active = activeJob(t.state);
  if (active !== undefined)
    tellWorker(t, active, 'attached', event.worker, {
      provider: event.capabilities.provider,
      threads: event.capabilities.threads,
    });
}

/** Sets the leases of one job to what the worker says that it has. */
function reconcile(t: Transition, job: JobState, event: EventOf<'workerAttached'>): void {
  for (const lease of leasesOf(job, event.worker)) {
    if (!event.tasks.some((task) => currentLease(t.state, task) === lease)) {
      delete t.editJob(job.id).leases[lease.task];
    }
  }
}

function abortUnknownTasks(t: Transition, event: EventOf<'workerAttached'>): void {
  for (const task of event.tasks) {
    if (currentLease(t.state, task)?.worker !== event.worker) {
      t.command({ kind: 'abort', worker: event.worker, identity: task });
    }
  }
}

/**
 * Takes what the worker says that it holds, where it belongs to this life of the job: it has a lease of it, or what it
 * holds was known before. A job that was stopped knows of nobody's holdings any more, and may begin again with other
 * inputs: what is left of its earlier life, with a worker that did not hear of it, must go.
 */
function takeHoldings(t: Transition, event: EventOf<'workerAttached'>): void {
  for (const id of new Set(event.holdings.map((holding) => holding.job))) {
    const job = jobOf(t.state, id);
    const reported = event.holdings.filter((holding) => holding.job === id);
    const isOfThisLife =
      job !== undefined &&
      !hasEnded(job) &&
      (leasesOf(job, event.worker).length > 0 || areKnown(reported, own(job.held, event.worker) ?? []));
    if (!isOfThisLife) t.command({ kind: 'releaseJob', worker: event.worker, job: id });
    setHeld(t, id, event.worker, isOfThisLife ? reported : []);
  }
  for (const job of Object.values(t.state.jobs)) {
    if (!event.holdings.some((holding) => holding.job === job.id)) setHeld(t, job.id, event.worker, []);
  }
}

function areKnown(reported: readonly HiddenStates[], known: readonly HiddenStates[]): boolean {
  return reported.every(({ boundary, microbatches }) => {
    const there = known.find((states) => states.boundary === boundary)?.microbatches ?? NO_MICROBATCHES;
    return isEmpty(difference(microbatches, there));
  });
}

/** What a worker said that it holds of a job. */
export function setHeld(t: Transition, jobId: string, worker: string, held: readonly HiddenStates[]): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined) return;
  const states = held.map(({ boundary, microbatches }) => ({ boundary, microbatches }));
  const before = own(job.held, worker) ?? [];
  if (JSON.stringify(before) === JSON.stringify(states)) return;
  if (states.length === 0) delete t.editJob(jobId).held[worker];
  else t.editJob(jobId).held[worker] = states;
}

export function workerDetached(t: Transition, event: EventOf<'workerDetached'>): void {
  const worker = workerOf(t.state, event.worker);
  if (worker === undefined || worker.incarnation !== event.incarnation || !worker.attached) return;
  t.setWorker({ ...worker, attached: false, sinceMs: t.nowMs });
  const active = activeJob(t.state);
  if (active !== undefined) tellWorker(t, active, 'detached', event.worker, { leaving: event.leaving });
  if (event.leaving) forget(t, event.worker, 'it left');
}

export function workerDraining(t: Transition, event: EventOf<'workerDraining'>): void {
  const worker = workerOf(t.state, event.worker);
  if (worker === undefined || worker.draining) return;
  t.setWorker({ ...worker, draining: true });
  const active = activeJob(t.state);
  if (active !== undefined) tellWorker(t, active, 'draining', event.worker, {});
}

/** The engine ended, say, and with it the hidden states; the worker itself goes on. */
export function holdingsChanged(t: Transition, event: EventOf<'holdingsChanged'>): void {
  setHeld(t, event.job, event.worker, event.holdings);
}

/** An engine that hangs, or computes for very long without a word: whoever looks at the job is told. */
export function engineSilence(t: Transition, event: EventOf<'engineSilence'>): void {
  const lease = currentLease(t.state, event.identity);
  if (lease?.worker !== event.worker) return;
  const sinceMs = t.nowMs - event.silentMs;
  const { silence: _before, ...speaking } = lease;
  const silence = { sinceMs, endsMs: sinceMs + event.silentMaxMs };
  t.editJob(event.identity.job).leases[lease.task] = event.silentMs > 0 ? { ...speaking, silence } : speaking;
}

/** Lets draining workers go that have nothing left that anybody needs. */
export function dismissDrained(t: Transition): void {
  const job = activeJob(t.state);
  for (const worker of Object.values(t.state.workers)) {
    if (!worker.attached || !worker.draining || worker.dismissed) continue;
    const isBusy = Object.values(t.state.jobs).some((each) => leasesOf(each, worker.id).length > 0);
    if (isBusy || (job !== undefined && handOverTask(job, worker.id) !== undefined)) continue;
    if (job !== undefined) dropShares(t, job.id, worker.id);
    t.setWorker({ ...worker, dismissed: true });
    t.command({ kind: 'dismiss', worker: worker.id });
  }
}

/** Gives up on workers that have been away for longer than the grace period. */
export function expireWorkers(t: Transition): void {
  for (const worker of Object.values(t.state.workers)) {
    if (!worker.attached && t.nowMs - worker.sinceMs >= RECONNECT_GRACE_MS) {
      const why = `it was away for ${Math.round((t.nowMs - worker.sinceMs) / 1000)} s`;
      const active = activeJob(t.state);
      if (active !== undefined) tellWorker(t, active, 'lost', worker.id, { why });
      forget(t, worker.id, why);
    }
  }
}

function forget(t: Transition, worker: string, why: string): void {
  loseWorker(t, worker, why);
  t.removeWorker(worker);
}

/** Everything that was leased to a worker, or held by it, is to be had elsewhere from now on. */
function loseWorker(t: Transition, worker: string, why: string): void {
  for (const job of Object.values(t.state.jobs)) {
    for (const lease of leasesOf(job, worker)) loseLease(t, job.id, lease, why);
    dropShares(t, job.id, worker);
    setHeld(t, job.id, worker, []);
    if (own(job.rates, worker) !== undefined) t.editJob(job.id).rates = without(job.rates, worker);
    if (own(job.shunnedUntilMs, worker) !== undefined) delete t.editJob(job.id).shunnedUntilMs[worker];
  }
}

function loseLease(t: Transition, jobId: string, lease: Lease, why: string): void {
  const job = t.editJob(jobId);
  delete job.leases[lease.task];
  noteLease(job, lease, 'lost', t.nowMs);
  const retry = retryOf(job, taskKind(lease.spec));
  const charged = chargedBy(lease.spec);
  retry.lost = charge(retry.lost, charged);
  t.tell(jobId, 'task', 'lost', { task: lease.task, attempt: lease.attempt, worker: lease.worker, why });
  removeUnfinished(t, jobId, lease);
  const lost = worstOf(retry.lost, charged);
  // What a hand-over does not save is computed again.
  if (lost < LOST_MAX || lease.spec.kind === 'handOver') return;
  const message = `task ${lease.task} was lost with its worker ${lost} times, last on ${lease.worker} (${why}). See the workers' logs for what ended them (memory, most often), then resume the job.`;
  failJob(t, jobId, { code: 'EngineCrashed', message, details: { task: lease.task, lost } });
}

/** Said when a task begins to get no further, when it gets on again, and when that was for too long. */
export function taskQuiet(t: Transition, event: EventOf<'taskQuiet'>): void {
  const { worker, identity, quietMs } = event;
  const lease = currentLease(t.state, identity);
  if (lease === undefined || lease.worker !== worker) return;
  const job = t.editJob(identity.job);
  if (quietMs < TASK_QUIET_MAX_MS) {
    const { quietSinceMs: _, ...moving } = lease;
    job.leases[lease.task] = quietMs === 0 ? moving : { ...moving, quietSinceMs: t.nowMs - quietMs };
    return;
  }
  job.shunnedUntilMs[worker] = t.nowMs + QUIET_SHUN_MS;
  t.command({ kind: 'abort', worker, identity });
  loseLease(t, identity.job, lease, `it made no progress for ${Math.round(quietMs / 60_000)} minutes`);
  dropShares(t, identity.job, worker);
  setHeld(t, identity.job, worker, []);
  t.command({ kind: 'releaseJob', worker, job: identity.job });
}

function leasesOf(job: JobState, worker: string): Lease[] {
  return Object.values(job.leases).filter((lease) => lease.worker === worker);
}

function tellWorker(
  t: Transition,
  job: JobState,
  verb: string,
  worker: string,
  data: Record<string, string | number | boolean>,
): void {
  t.tell(job.id, 'worker', verb, { worker, ...data });
}
