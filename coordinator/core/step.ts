/**
 * The coordinator's core: `step(state, event, nowMs)` gives the next state, the commands to carry out and the events
 * to tell. Pure: no clock, no file, no network, no randomness; the same journal always gives the same state.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { CoreEvent, StepResult } from './events.ts';
import { beginNextJob, cancelJob, effectFailed, intakeSucceeded, resumeJob, submitJob, tryPlan } from './lifecycle.ts';
import {
  checkpointPublished,
  shardAssembled,
  snapshotWritten,
  statisticsLost,
  statisticsReduced,
  taskFailed,
  taskSucceeded,
} from './results.ts';
import { assignments } from './schedule.ts';
import { giveShares, suitsEngine } from './shares.ts';
import { activeJob, type CoordinatorState, hasEnded, jobOf, own, workerOf } from './state.ts';
import { type TaskSpec, taskName } from './task.ts';
import { Transition } from './transition.ts';
import {
  coordinatorStarted,
  dismissDrained,
  expireWorkers,
  holdingsChanged,
  workerAttached,
  workerDetached,
  workerDraining,
} from './workers.ts';

export function step(state: CoordinatorState, event: CoreEvent, nowMs: number): StepResult {
  const transition = new Transition(state, nowMs);
  apply(transition, event);
  expireWorkers(transition);
  beginNextJob(transition);
  tryPlan(transition);
  assignTasks(transition);
  return transition.finish();
}

function apply(t: Transition, event: CoreEvent): void {
  switch (event.type) {
    case 'tick':
      return;
    case 'coordinatorStarted':
      return coordinatorStarted(t);
    case 'jobSubmitted':
      return submitJob(t, event);
    case 'intakeSucceeded':
      return intakeSucceeded(t, event);
    case 'effectFailed':
      return effectFailed(t, event);
    case 'workerAttached':
      return workerAttached(t, event);
    case 'workerDetached':
      return workerDetached(t, event);
    case 'workerDraining':
      return workerDraining(t, event);
    case 'holdingsChanged':
      return holdingsChanged(t, event);
    case 'snapshotWritten':
      return snapshotWritten(t, event);
    case 'taskSucceeded':
      return taskSucceeded(t, event);
    case 'taskFailed':
      return taskFailed(t, event);
    case 'statisticsReduced':
      return statisticsReduced(t, event);
    case 'statisticsLost':
      return statisticsLost(t, event);
    case 'shardAssembled':
      return shardAssembled(t, event);
    case 'checkpointPublished':
      return checkpointPublished(t, event);
    case 'cancelRequested':
      return cancelJob(t, event);
    case 'resumeRequested':
      return resumeJob(t, event);
  }
  const unknown: never = event;
  throw new SecateurError('JournalCorrupt', `unknown event in the journal: ${JSON.stringify(unknown)}`);
}

/** Gives out shares, then a task to every idle worker for whom there is one; lets go who has nothing left to hand over. */
function assignTasks(t: Transition): void {
  const active = activeJob(t.state);
  if (active !== undefined && active.phase === 'Pruning') giveShares(t, active.id);
  const job = active === undefined ? undefined : jobOf(t.state, active.id);
  if (job !== undefined) {
    for (const { worker, spec } of assignments(t.state, job, t.nowMs)) lease(t, job.id, spec, worker);
  }
  dismissDrained(t);
  if (active !== undefined) explainWaiting(t, active.id);
}

function lease(t: Transition, jobId: string, spec: TaskSpec, worker: string): void {
  const job = t.editJob(jobId);
  const task = taskName(spec);
  job.leaseCount += 1;
  const attempt = job.leaseCount;
  const epoch = t.state.epoch;
  const capabilities = workerOf(t.state, worker)?.capabilities;
  if (capabilities !== undefined) {
    job.workersSeen[worker] = capabilities;
    job.engineVersion ??= capabilities.engineVersion;
  }
  job.leases[task] = { task, attempt, epoch, worker, spec, leasedMs: t.nowMs };
  t.command({ kind: 'assign', worker, identity: { job: jobId, task, attempt, epoch }, spec });
}

/** Phase, reason and message say at any time what the job does, or what it waits for and what there is. */
function explainWaiting(t: Transition, jobId: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || hasEnded(job) || (job.phase !== 'Preparing' && job.phase !== 'Pruning')) return;
  const leases = Object.values(job.leases);
  if (leases.length > 0) {
    const doing = leases.map((lease) => `${lease.task} on ${lease.worker}`).sort();
    return t.explain(jobId, job.phase, 'Running', doing.join(', '));
  }
  if (job.layers.some((layer) => layer.status === 'reducing')) {
    return t.explain(jobId, job.phase, 'ReducingStatistics', 'the coordinator adds up the statistics of a layer');
  }
  const workers = Object.values(t.state.workers);
  const attached = workers.filter((worker) => worker.attached && !worker.draining);
  const retry = Object.entries(job.retries).find(([, state]) => state.notBeforeMs > t.nowMs);
  if (retry !== undefined) {
    const [task, state] = retry;
    return t.explain(
      jobId,
      job.phase,
      'WaitingToRetry',
      `${task} failed ${state.failures + state.lost} times and is tried again shortly`,
    );
  }
  const away = workers.find(
    (worker) => !worker.attached && job.stages.some((stage) => own(stage.shares, worker.id) !== undefined),
  );
  if (away !== undefined) {
    return t.explain(
      jobId,
      job.phase,
      'WorkerAway',
      `worker ${away.id} is disconnected; its work is given to another when it does not come back`,
    );
  }
  if (attached.length > 0 && !attached.some((worker) => suitsEngine(worker, job))) {
    const versions = [...new Set(attached.map((worker) => worker.capabilities.engineVersion))].join(', ');
    return t.explain(
      jobId,
      job.phase,
      'WaitingForEngineVersion',
      `needs a worker with onnxruntime ${job.engineVersion}, with which the job began; those attached have ${versions}`,
    );
  }
  t.explain(
    jobId,
    job.phase,
    'WaitingForWorker',
    `needs one worker that can take a task; ${workers.length} known, ${attached.length} attached and taking tasks`,
  );
}
