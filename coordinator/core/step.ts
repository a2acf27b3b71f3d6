/**
 * The coordinator's core: `step(state, event, nowMs)` gives the next state, the commands to carry out and the events
 * to tell. Pure: no clock, no file, no network, no randomness; the same journal always gives the same state.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { allocateBudgets } from './budgets.ts';
import { discardAgain, discardLayers } from './discard.ts';
import { repeatFailedEffects } from './effects.ts';
import type { CoreEvent, StepResult } from './events.ts';
import { explainQueue, explainWaiting } from './explain.ts';
import { beginNextJob, cancelJob, effectFailed, intakeSucceeded, resumeJob, submitJob, tryPlan } from './lifecycle.ts';
import { fileLost } from './losses.ts';
import {
  advancePhase,
  checkpointPublished,
  shardAssembled,
  snapshotWritten,
  statisticsLost,
  statisticsReduced,
  taskFailed,
  taskSucceeded,
} from './results.ts';
import { dropLeftovers, noteCopies, takeOver } from './reuse.ts';
import { assignments } from './schedule.ts';
import { giveShares } from './shares.ts';
import { activeJob, type CoordinatorState, jobOf, lifeOf, own, workerOf } from './state.ts';
import { type TaskSpec, taskName } from './task.ts';
import { Transition } from './transition.ts';
import {
  coordinatorStarted,
  dismissDrained,
  engineSilence,
  expireWorkers,
  holdingsChanged,
  taskQuiet,
  workerAttached,
  workerDetached,
  workerDraining,
} from './workers.ts';

export function step(state: CoordinatorState, event: CoreEvent, nowMs: number): StepResult {
  const transition = new Transition(state, nowMs);
  apply(transition, event);
  expireWorkers(transition);
  beginNextJob(transition);
  repeatFailedEffects(transition);
  tryPlan(transition);
  takeOver(transition);
  allocateBudgets(transition);
  discardLayers(transition);
  advancePhase(transition);
  assignTasks(transition);
  return transition.finish();
}

function apply(t: Transition, event: CoreEvent): void {
  if ('life' in event && isOfAnotherLife(t.state, event)) return;
  switch (event.type) {
    case 'tick':
      return;
    case 'coordinatorStarted':
      discardAgain(t);
      dropLeftovers(t);
      return coordinatorStarted(t);
    case 'jobSubmitted':
      return submitJob(t, event);
    case 'intakeSucceeded':
      noteCopies(t, event);
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
    case 'engineSilence':
      return engineSilence(t, event);
    case 'snapshotWritten':
      return snapshotWritten(t, event);
    case 'taskSucceeded':
      return taskSucceeded(t, event);
    case 'taskFailed':
      return taskFailed(t, event);
    case 'taskQuiet':
      return taskQuiet(t, event);
    case 'statisticsReduced':
      return statisticsReduced(t, event);
    case 'statisticsLost':
      return statisticsLost(t, event);
    case 'shardAssembled':
      return shardAssembled(t, event);
    case 'checkpointPublished':
      return checkpointPublished(t, event);
    case 'fileLost':
      return fileLost(t, event);
    case 'cancelRequested':
      return cancelJob(t, event);
    case 'resumeRequested':
      return resumeJob(t, event);
  }
  const unknown: never = event;
  throw new SecateurError('JournalCorrupt', `unknown event in the journal: ${JSON.stringify(unknown)}`);
}

function isOfAnotherLife(state: CoordinatorState, event: { readonly job: string; readonly life: number }): boolean {
  const job = jobOf(state, event.job);
  return job === undefined || event.life !== lifeOf(job);
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
  if (active === undefined) return;
  explainWaiting(t, active.id);
  explainQueue(t);
}

function lease(t: Transition, jobId: string, spec: TaskSpec, worker: string): void {
  const job = t.editJob(jobId);
  const task = taskName(spec);
  job.leaseCount += 1;
  const attempt = job.leaseCount;
  const epoch = t.state.epoch;
  const capabilities = workerOf(t.state, worker)?.capabilities;
  if (capabilities !== undefined && own(job.workersSeen, worker) !== capabilities)
    job.workersSeen = { ...job.workersSeen, [worker]: capabilities };
  job.leases[task] = { task, attempt, epoch, worker, spec, leasedMs: t.nowMs };
  t.command({ kind: 'assign', worker, identity: { job: jobId, task, attempt, epoch }, spec });
}
