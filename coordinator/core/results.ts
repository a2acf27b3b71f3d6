/** What workers and effects bring back. A result counts only from the worker, attempt and epoch that were leased. */

import { fiveDigits } from '../../shared/storage/staging-names.ts';
import type { EventOf, TaskIdentity, TaskOutcome } from './events.ts';
import { committedCount, continueAssembly, endLeases, failJob, workTotal } from './lifecycle.ts';
import { resolveMicrobatch } from './plan.ts';
import { countPruned, currentLease, type JobFailure, type JobState, jobOf, type Lease, leaseOf } from './state.ts';
import { taskName } from './task.ts';
import type { Transition } from './transition.ts';
import { dropBoundaries, LOST_MAX, retryOf } from './workers.ts';

/** Attempts of one task that may fail for a reason that could pass. */
const FAILURES_MAX = 4;
const RETRY_BASE_MS = 500;

type OutcomeOf<K extends TaskOutcome['kind']> = Extract<TaskOutcome, { kind: K }>;

export function taskSucceeded(t: Transition, event: EventOf<'taskSucceeded'>): void {
  const lease = takeLease(t, event.worker, event.identity);
  if (lease === null) return;
  const jobId = event.identity.job;
  delete t.editJob(jobId).retries[lease.task];
  const outcome = event.outcome;
  switch (outcome.kind) {
    case 'prepareCalibration':
      calibrationPrepared(t, jobId, outcome);
      break;
    case 'digestSource':
      if (lease.spec.kind === 'digestSource') t.editJob(jobId).digests[lease.spec.shard] = outcome.sha256;
      break;
    case 'pass':
      passFinished(t, jobId, lease, outcome);
      break;
    case 'prune':
      layerCommitted(t, jobId, lease, outcome);
      break;
  }
  assembleWhenDone(t, jobId);
}

/** Ends the lease that a message is about; null where it is about none (stale, twice, of an ended job). */
function takeLease(t: Transition, worker: string, identity: TaskIdentity): Lease | null {
  const lease = currentLease(t.state, identity);
  if (lease === undefined || lease.worker !== worker) return null;
  delete t.editJob(identity.job).leases[lease.task];
  return lease;
}

function calibrationPrepared(t: Transition, jobId: string, outcome: OutcomeOf<'prepareCalibration'>): void {
  const job = t.editJob(jobId);
  const { samples, sequenceLength, sha256 } = outcome.calibration;
  job.calibration = outcome.calibration;
  if (job.plan !== null) {
    const microbatch = resolveMicrobatch(job.manifest, samples, sequenceLength);
    job.plan = { ...job.plan, samples, sequenceLength, microbatch };
  }
  job.workTotal = workTotal(job);
  t.tell(jobId, 'calibration', 'prepared', { samples, sequenceLength, sha256 });
  t.explain(jobId, 'Pruning', 'Running', 'the calibration data is ready');
}

function passFinished(t: Transition, jobId: string, lease: Lease, outcome: OutcomeOf<'pass'>): void {
  const spec = lease.spec;
  if (spec.kind !== 'pass') return;
  const job = t.editJob(jobId);
  const stage = job.stages[spec.stage];
  const layer = job.layers[spec.layer];
  if (stage === undefined || layer === undefined) return;
  job.workDone += outcome.tokens;
  job.computeMs += outcome.computeMs;
  stage.worker = spec.persist ? null : lease.worker;
  stage.boundary = spec.persist ? null : spec.hidden ? spec.layer + 1 : spec.layer;
  if (spec.persist) {
    stage.snapshot = outcome.snapshots;
    const bytes = outcome.snapshots.reduce((sum, file) => sum + file.sizeBytes, 0);
    t.tell(jobId, 'stage', 'handedOver', {
      stage: spec.stage,
      boundary: spec.layer + 1,
      files: outcome.snapshots.length,
      bytes,
    });
  }
  if (spec.statistics && layer.status === 'pending' && outcome.statistics !== null) {
    layer.samplesFile = outcome.statistics;
    layer.status = 'reducing';
    t.tell(jobId, 'layer', 'calibrated', {
      layer: spec.layer,
      worker: lease.worker,
      tokens: outcome.tokens,
      computeMs: outcome.computeMs,
    });
    t.command({ kind: 'reduceStatistics', job: jobId, layer: spec.layer });
  }
}

function layerCommitted(t: Transition, jobId: string, lease: Lease, outcome: OutcomeOf<'prune'>): void {
  const spec = lease.spec;
  if (spec.kind !== 'prune') return;
  const job = t.editJob(jobId);
  const layer = job.layers[spec.layer];
  if (layer === undefined || layer.status === 'committed') return;
  Object.assign(layer, {
    status: 'committed',
    file: outcome.file,
    tensors: outcome.tensors,
    committedMs: t.nowMs,
    worker: lease.worker,
    pruneMs: outcome.pruneMs,
    commitMs: outcome.commitMs,
  });
  const { weights, zeros } = countPruned(outcome.tensors);
  t.tell(jobId, 'layer', 'committed', {
    layer: spec.layer,
    worker: lease.worker,
    file: outcome.file.name,
    sha256: outcome.file.sha256,
    sizeBytes: outcome.file.sizeBytes,
    weights,
    zeros,
    pruneMs: outcome.pruneMs,
    commitMs: outcome.commitMs,
    committed: committedCount(job),
    layers: job.layers.length,
  });
}

function assembleWhenDone(t: Transition, jobId: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || job.phase !== 'Pruning' || job.intake === null) return;
  const isPruned = job.layers.every((layer) => layer.status === 'committed');
  const isDigested = job.intake.shards.every((shard) => job.digests[shard.file] !== undefined);
  if (!isPruned || !isDigested) return;
  for (const worker of Object.keys(t.state.workers)) t.command({ kind: 'releaseJob', worker, job: jobId });
  endLeases(t, jobId);
  t.explain(jobId, 'Assembling', 'WritingShards', 'every layer is committed');
  continueAssembly(t, jobId);
}

/** Tries again with growing pauses where the failure may pass; else, and after the last attempt, the job fails. */
export function taskFailed(t: Transition, event: EventOf<'taskFailed'>): void {
  const lease = takeLease(t, event.worker, event.identity);
  if (lease === null) return;
  const jobId = event.identity.job;
  const { code, message, details, retryable } = event.failure;
  if (event.holdingsLost || code === 'InputsMissing')
    dropBoundaries(t, jobOf(t.state, jobId) as JobState, event.worker);
  const job = t.editJob(jobId);
  const retry = retryOf(job, lease.task);
  // Hidden states that are gone by the time a task asks for them are nobody's failure: they are computed again.
  if (code === 'InputsMissing') retry.lost += 1;
  else retry.failures += 1;
  const isLast = !retryable || retry.failures >= FAILURES_MAX || retry.lost >= LOST_MAX;
  retry.notBeforeMs = t.nowMs + RETRY_BASE_MS * 2 ** Math.max(0, retry.failures - 1);
  retry.worker = event.worker;
  t.tell(jobId, 'task', 'failed', {
    task: lease.task,
    attempt: lease.attempt,
    worker: event.worker,
    code,
    message,
    retried: !isLast,
  });
  if (isLast) {
    const tried = retry.failures > 1 ? ` (tried ${retry.failures} times)` : '';
    const failure: JobFailure = {
      code,
      message: `task ${lease.task} on ${event.worker} failed${tried}: ${message}`,
      details,
    };
    failJob(t, jobId, failure);
  }
}

export function statisticsReduced(t: Transition, event: EventOf<'statisticsReduced'>): void {
  const layer = jobOf(t.state, event.job)?.layers[event.layer];
  if (layer?.status !== 'reducing') return;
  Object.assign(t.editJob(event.job).layers[event.layer] as object, { status: 'ready', statisticsFile: event.file });
}

/** The stored statistics of the samples are unreadable: the layer is calibrated again. */
export function statisticsLost(t: Transition, event: EventOf<'statisticsLost'>): void {
  const current = jobOf(t.state, event.job);
  const layer = current?.layers[event.layer];
  if (current === undefined || layer === undefined || (layer.status !== 'reducing' && layer.status !== 'ready')) return;
  // A prune that is under way has its statistics with it.
  if (leaseOf(current, taskName({ kind: 'prune', stage: 0, layer: event.layer })) !== undefined) return;
  const job = t.editJob(event.job);
  Object.assign(job.layers[event.layer] as object, { status: 'pending', samplesFile: null, statisticsFile: null });
  const name = `statistics-${fiveDigits(event.layer)}`;
  const retry = retryOf(job, name);
  retry.lost += 1;
  if (retry.lost < LOST_MAX) return;
  const message = `the stored statistics of layer ${event.layer} were unreadable ${retry.lost} times. Check the disk of the coordinator's state folder, then resume the job.`;
  failJob(t, event.job, { code: 'StorageFailed', message, details: { layer: event.layer } });
}

export function shardAssembled(t: Transition, event: EventOf<'shardAssembled'>): void {
  const current = jobOf(t.state, event.job);
  if (current === undefined || current.phase !== 'Assembling' || current.assembled.length !== event.shard) return;
  t.editJob(event.job).assembled.push(event.file);
  t.tell(event.job, 'checkpoint', 'shardWritten', {
    ...event.file,
    shard: event.shard,
    shards: current.plan?.outputShards.length ?? 0,
  });
  continueAssembly(t, event.job);
}

export function checkpointPublished(t: Transition, event: EventOf<'checkpointPublished'>): void {
  const current = jobOf(t.state, event.job);
  if (current === undefined || current.phase !== 'Assembling') return;
  const job = t.editJob(event.job);
  job.endedMs = t.nowMs;
  const { weights, zeros } = countPruned(job.layers.flatMap((layer) => layer.tensors));
  t.tell(event.job, 'checkpoint', 'published', {
    destination: job.manifest.spec.output.destination,
    files: event.files.length,
  });
  t.tell(event.job, 'job', 'succeeded', { weights, zeros, elapsedMs: t.nowMs - (job.startedMs ?? job.submittedMs) });
  t.explain(event.job, 'Succeeded', 'Published', `published to ${job.manifest.spec.output.destination}`);
}
