/**
 * Phase, reason and message of a job: what it does, or what it waits for, in the form "needs …; there …". Whoever looks
 * at a job is never left with a silent wait. Texts change only when something has happened: times in them are absolute,
 * since a state that changed with every second would fill the journal.
 */
import { isEmpty } from '../../shared/microbatch-set.ts';
import { describeVersionDrift, fitsVersions } from './drift.ts';
import { effectName, effectsOf, isEffectWaiting } from './effects.ts';
import {
  activeJob,
  type CoordinatorState,
  hasEnded,
  type JobState,
  jobOf,
  type Lease,
  own,
  type RetryState,
  shareOf,
  type WorkerState,
  workerOf,
} from './state.ts';
import type { Transition } from './transition.ts';
import { RECONNECT_GRACE_MS, TASK_QUIET_MAX_MS } from './workers.ts';

/** Named one by one; the others are counted: a message is for reading. */
const NAMED_MAX = 6;

export function explainWaiting(t: Transition, jobId: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || hasEnded(job) || job.phase === 'Queued') return;
  const explanation = whyWaiting(t.state, job, t.nowMs);
  if (explanation !== null) t.explain(jobId, job.phase, explanation.reason, explanation.message);
}

interface Explanation {
  readonly reason: string;
  readonly message: string;
}

/** Null where there is nothing to add: intake and assembly are explained when they are begun. */
function whyWaiting(state: CoordinatorState, job: JobState, nowMs: number): Explanation | null {
  const leases = Object.values(job.leases);
  const away = leases.map((lease) => workerOf(state, lease.worker)).filter((worker) => worker?.attached === false);
  const silent = leases.filter((lease) => lease.silence !== undefined && !isAway(state, lease.worker));
  if (silent.length > 0) return enginesSilent(silent);
  if (leases.length > away.length) return running(state, leases);
  const workers = Object.values(state.workers);
  const effects = effectsOf(job).map(effectName);
  if (effects.length > 0) return ownWork(job, effects, nowMs, describeWorkers(workers));
  const takers = workers.filter((worker) => worker.attached && !worker.draining);
  const there = describeWorkers(workers);
  if (away.length > 0) return workersAway(job, away as WorkerState[], there);
  if (takers.length === 0) {
    const absent = workers.filter((worker) => !worker.attached);
    if (absent.length > 0) return workersAway(job, absent, there);
    return { reason: 'WaitingForWorker', message: `needs one worker that takes tasks; there: ${there}` };
  }
  if (takers.every((worker) => !fitsVersions(job, worker.capabilities))) {
    const drift = describeVersionDrift(job, takers).join('; ');
    return {
      reason: 'WaitingForVersion',
      message: `needs a worker of the version that it was begun with: ${drift}; there: ${there}. Start such a worker; or submit a new job with another destination (where nothing is committed yet, cancel and resume this one).`,
    };
  }
  const retry = nextRetry(job, nowMs);
  if (retry !== null) return waitingToRetry(...retry, there);
  const holders = job.stages
    .flatMap((stage) => Object.entries(stage.shares))
    .flatMap(([id, share]) => (!isEmpty(share) && isAway(state, id) ? [id] : []));
  if (holders.length > 0) {
    return workersAway(
      job,
      holders.map((id) => workerOf(state, id) as WorkerState),
      there,
    );
  }
  return { reason: 'WaitingForWorker', message: `needs a worker for its next task; there: ${there}` };
}

/** What the coordinator itself does: said to wait where nothing of it is under way. */
function ownWork(job: JobState, effects: readonly string[], nowMs: number, there: string): Explanation | null {
  if (effects.every((effect) => isEffectWaiting(job, effect))) {
    const [effect, retry] = nextRetry(job, nowMs, (name) => effects.includes(name)) ?? [];
    if (retry !== undefined) return waitingToRetry(`the coordinator's ${effect}`, retry, there);
  }
  if (job.phase !== 'Pruning') return null;
  return { reason: 'ReducingStatistics', message: 'the coordinator adds up the statistics of a layer' };
}

function running(state: CoordinatorState, leases: readonly Lease[]): Explanation {
  const doing = leases
    .map((lease) => {
      const away = isAway(state, lease.worker) ? ' (away)' : '';
      return `${lease.task} on ${lease.worker}${away}${quiet(lease)}`;
    })
    .sort();
  // A worker that is away is explained when nobody else works.
  const present = leases.filter(({ worker }) => !isAway(state, worker));
  if (present.every(({ quietSinceMs }) => quietSinceMs !== undefined)) {
    const minutes = TASK_QUIET_MAX_MS / 60_000;
    const message = `needs progress of its tasks; there: ${listed(doing)}. What makes none for ${minutes} minutes is given to another; see the worker's log.`;
    return { reason: 'NoProgress', message };
  }
  return { reason: 'Running', message: listed(doing) };
}

function enginesSilent(silent: readonly Lease[]): Explanation {
  const there = silent.map((lease) => `${lease.task} on ${lease.worker}, whose ${silenceOf(lease)}`).sort();
  return { reason: 'EngineSilent', message: `needs a word of an engine that runs a task; there: ${listed(there)}` };
}

function silenceOf({ silence }: Lease): string {
  if (silence === undefined) return 'engine speaks';
  const { sinceMs, endsMs } = silence;
  return `engine has said nothing since ${showTime(sinceMs)} and is ended at ${showTime(endsMs)}`;
}

function quiet({ quietSinceMs }: Lease): string {
  return quietSinceMs === undefined ? '' : ` (no progress since ${showTime(quietSinceMs)})`;
}

function workersAway(job: JobState, away: readonly WorkerState[], there: string): Explanation {
  const needed = job.phase === 'Planning' ? 'one worker that takes tasks' : 'its workers back, or others';
  const untilMs = Math.max(...away.map((worker) => worker.sinceMs)) + RECONNECT_GRACE_MS;
  return {
    reason: 'WorkerAway',
    message: `needs ${needed}; there: ${there}. What a worker that stays away has is given to another at ${showTime(untilMs)}.`,
  };
}

function nextRetry(job: JobState, nowMs: number, isMeant = (_: string) => true): [string, RetryState] | null {
  const waiting = Object.entries(job.retries).filter(([name, retry]) => retry.notBeforeMs > nowMs && isMeant(name));
  return waiting.sort(([, a], [, b]) => a.notBeforeMs - b.notBeforeMs)[0] ?? null;
}

function waitingToRetry(task: string, retry: RetryState, there: string): Explanation {
  const times = retry.failed.length + retry.lost.length;
  const where = retry.worker === undefined ? '' : `, last on ${retry.worker}`;
  const why = retry.why === undefined ? '' : ` (${retry.why})`;
  return {
    reason: 'WaitingToRetry',
    message: `${task} failed ${times === 1 ? 'once' : `${times} times`}${where}${why}; needs another attempt, at ${showTime(retry.notBeforeMs)}; there: ${there}`,
  };
}

/** Jobs that wait in the queue say whom for, and how many are before them. */
export function explainQueue(t: Transition): void {
  const active = activeJob(t.state);
  if (active === undefined) return;
  let before = 0;
  for (const id of t.state.queue) {
    const job = t.state.jobs[id];
    if (job === undefined || id === active.id || hasEnded(job)) continue;
    const others = before > 0 ? `, and ${before} more before it` : '';
    const message = `needs the workers, one job at a time; there: job ${active.id} has them (${active.phase})${others}`;
    if (job.phase === 'Queued') t.explain(id, 'Queued', 'WaitingForJob', message);
    before += 1;
  }
}

/** What a worker does or why it has nothing to do, for `secateur workers`. */
export function explainWorker(state: CoordinatorState, worker: WorkerState): string {
  const lease = Object.values(state.jobs)
    .flatMap((job) => Object.values(job.leases))
    .find((each) => each.worker === worker.id);
  if (!worker.attached) {
    const had = lease === undefined ? '' : ` ${lease.task} is given to another then.`;
    return `no stream; it is forgotten at ${showTime(worker.sinceMs + RECONNECT_GRACE_MS)}.${had}`;
  }
  if (worker.draining)
    return lease === undefined ? 'drains: takes no new work' : `drains: hands over, runs ${lease.task}`;
  if (lease?.silence !== undefined) return `runs ${lease.task}; its ${silenceOf(lease)}`;
  if (lease !== undefined) return `runs ${lease.task}${quiet(lease)}`;
  const job = activeJob(state);
  if (job === undefined) return 'idle: there is no job';
  if (!fitsVersions(job, worker.capabilities)) {
    const { version, engineVersion } = worker.capabilities;
    return `idle: job ${job.id} was begun with other versions than its ${version}, engine ${engineVersion}`;
  }
  return `idle: ${whyIdle(job, worker)}`;
}

/** Why a worker that could work has nothing to do, and what changes that. */
function whyIdle(job: JobState, { id }: WorkerState): string {
  const about = `job ${job.id}`;
  const busy = Object.values(job.leases).map(({ task, worker }) => `${task} on ${worker}`);
  const others = busy.length === 0 ? '' : `: ${listed(busy.sort())}`;
  if (job.phase !== 'Pruning') {
    const is = `${about} is ${job.phase} (${job.reason})`;
    return `${is}; ${busy.length === 0 ? 'no task is ready' : `others have what there is to do${others}`}`;
  }
  const shunned = own(job.shunnedUntilMs, id) ?? 0;
  const isSharing = job.stages.some((stage) => !isEmpty(shareOf(stage, id)));
  if (shunned > 0 && !isSharing)
    return `a task of ${about} failed on it; others are preferred until ${showTime(shunned)}, then it has a share at a layer boundary`;
  if (isSharing) return `its share of ${about} is done as far as it can be; it waits for the others${others}`;
  const { replicasMax } = job.plan ?? { replicasMax: null };
  const isFull = replicasMax !== null && job.stages.every((stage) => Object.keys(stage.shares).length >= replicasMax);
  if (isFull) return `every stage of ${about} has its ${replicasMax} replicas; it takes the place of one that leaves`;
  return `it has no share of ${about} yet; it is given one at the next layer boundary, where that makes the job faster${others}`;
}

/** `w1 attached, w2 draining, w3 away since …` */
function describeWorkers(workers: readonly WorkerState[]): string {
  if (workers.length === 0) return 'none';
  const words = workers.map((worker) => {
    if (!worker.attached) return `${worker.id} away since ${showTime(worker.sinceMs)}`;
    return `${worker.id} ${worker.draining ? 'draining' : 'attached'}`;
  });
  return listed(words.sort());
}

function listed(words: readonly string[]): string {
  const rest = words.length - NAMED_MAX;
  return rest > 0 ? `${words.slice(0, NAMED_MAX).join(', ')} and ${rest} more` : words.join(', ');
}

function isAway(state: CoordinatorState, worker: string): boolean {
  return workerOf(state, worker)?.attached === false;
}

/** To the second, in UTC, as logs have it. */
function showTime(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}
