/**
 * The coordinator's core: `step(state, event, nowMs)` gives the next state, the commands to carry out and the events
 * to tell. Pure: no clock, no file, no network, no randomness; the same journal always gives the same state.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { fitsVersions } from './drift.ts';
import type { CoreEvent, StepResult } from './events.ts';
import { explainQueue, explainWaiting } from './explain.ts';
import { beginNextJob, cancelJob, effectFailed, intakeSucceeded, resumeJob, submitJob, tryPlan } from './lifecycle.ts';
import {
  checkpointPublished,
  shardAssembled,
  statisticsLost,
  statisticsReduced,
  taskFailed,
  taskSucceeded,
} from './results.ts';
import { candidates, chooseWorker } from './schedule.ts';
import { activeJob, type CoordinatorState, type JobState, jobOf, workerOf } from './state.ts';
import { taskName } from './task.ts';
import { Transition } from './transition.ts';
import {
  coordinatorStarted,
  expireWorkers,
  holdingsLost,
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
    case 'holdingsLost':
      return holdingsLost(t, event);
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

/** Leases candidates of the active job to idle workers until either runs out; then says what the job waits for. */
function assignTasks(t: Transition): void {
  const active = activeJob(t.state);
  if (active === undefined) return;
  for (;;) {
    const job = jobOf(t.state, active.id) as JobState;
    const idle = idleWorkers(t.state).filter((worker) => fitsVersions(job, worker.capabilities));
    const pick = candidates(job, t.nowMs)
      .map((candidate) => ({ candidate, worker: chooseWorker(job, candidate, idle) }))
      .find(({ worker }) => worker !== undefined);
    if (pick?.worker === undefined) break;
    lease(t, job.id, pick.candidate.spec, pick.worker.id);
  }
  explainWaiting(t, active.id);
  explainQueue(t);
}

function idleWorkers(state: CoordinatorState) {
  const busy = new Set(
    Object.values(state.jobs).flatMap((job) => Object.values(job.leases).map((lease) => lease.worker)),
  );
  return Object.values(state.workers).filter((worker) => worker.attached && !worker.draining && !busy.has(worker.id));
}

function lease(t: Transition, jobId: string, spec: Parameters<typeof taskName>[0], worker: string): void {
  const job = t.editJob(jobId);
  const task = taskName(spec);
  const attempt = (job.attempts[task] ?? 0) + 1;
  job.attempts[task] = attempt;
  const epoch = t.state.epoch;
  const capabilities = workerOf(t.state, worker)?.capabilities;
  if (capabilities !== undefined) job.workersSeen[worker] = capabilities;
  job.leases[task] = { task, attempt, epoch, worker, spec, leasedMs: t.nowMs };
  if (spec.kind === 'pass') {
    const stage = job.stages[spec.stage];
    if (stage !== undefined && stage.worker !== worker) {
      stage.worker = worker;
      stage.servedBy = worker;
      t.tell(jobId, 'stage', 'assigned', {
        stage: spec.stage,
        worker,
        firstLayer: stage.firstLayer,
        layerCount: stage.layerCount,
      });
    }
  }
  t.command({ kind: 'assign', worker, identity: { job: jobId, task, attempt, epoch }, spec });
}
