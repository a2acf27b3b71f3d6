/** What workers and effects bring back. A result counts only from the worker, attempt and epoch that were leased. */

import {
  countOf,
  difference,
  intersection,
  isEmpty,
  type MicrobatchSet,
  NO_MICROBATCHES,
  union,
} from '../../shared/microbatch-set.ts';
import { fiveDigits } from '../../shared/storage/staging-names.ts';
import type { EventOf, TaskIdentity, TaskOutcome } from './events.ts';
import { committedCount, continueAssembly, endLeases, failJob, workTotal } from './lifecycle.ts';
import { allMicrobatches, calibratedAt, samplesOf, snapshotAt } from './lineage.ts';
import { resolveMicrobatch } from './plan.ts';
import { dropShares, takeFromShare, usableWorkers } from './shares.ts';
import { addSnapshot, forgetSnapshot, removeNeedlessSnapshots } from './snapshots.ts';
import { countPruned, currentLease, type JobFailure, type JobState, jobOf, type Lease, leaseOf, own } from './state.ts';
import { type PassSpec, taskKind, taskName } from './task.ts';
import type { Transition } from './transition.ts';
import { LOST_MAX, removeUnfinished, retryOf, setHeld } from './workers.ts';

/** Attempts of one task that may fail for a reason that could pass. */
const FAILURES_MAX = 4;
const RETRY_BASE_MS = 500;
/** After a failure on one worker others are preferred to it for so long. */
const SHUN_MS = 30_000;
/** Of a newly measured speed in the running figure. */
const RATE_WEIGHT = 0.5;
/** Of a failure, in the message of a job that waits to try again: the whole of it is in the event. */
const WHY_CHARACTERS_MAX = 300;

type OutcomeOf<K extends TaskOutcome['kind']> = Extract<TaskOutcome, { kind: K }>;

export function taskSucceeded(t: Transition, event: EventOf<'taskSucceeded'>): void {
  const lease = takeLease(t, event.worker, event.identity);
  if (lease === null) return;
  const jobId = event.identity.job;
  setHeld(t, jobId, event.worker, event.holdings);
  const outcome = event.outcome;
  // Of passes, others of the same layer may still fail: those retries go when the layer is through.
  if (outcome.kind === 'pass') retryOf(t.editJob(jobId), taskKind(lease.spec)).lost = 0;
  else delete t.editJob(jobId).retries[taskKind(lease.spec)];
  switch (outcome.kind) {
    case 'prepareCalibration':
      calibrationPrepared(t, jobId, outcome);
      break;
    case 'digestSource':
      if (lease.spec.kind === 'digestSource')
        t.editJob(jobId).digests[lease.spec.shard] = { sha256: outcome.sha256, atMs: t.nowMs };
      break;
    case 'pass':
      passFinished(t, jobId, lease, outcome);
      break;
    case 'handOver':
      handedOver(t, jobId, lease, outcome);
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
  const { samples, sequenceLength, file } = outcome.calibration;
  job.calibration = { ...outcome.calibration, atMs: t.nowMs };
  if (job.plan !== null) {
    const microbatch = resolveMicrobatch(job.manifest, samples, sequenceLength);
    job.plan = { ...job.plan, samples, sequenceLength, microbatch };
  }
  job.workTotal = workTotal(job);
  t.tell(jobId, 'calibration', 'prepared', { samples, sequenceLength, sha256: file.sha256 });
  t.explain(jobId, 'Pruning', 'Running', 'the calibration data is ready');
}

function passFinished(t: Transition, jobId: string, lease: Lease, outcome: OutcomeOf<'pass'>): void {
  const spec = lease.spec;
  if (spec.kind !== 'pass') return;
  const job = t.editJob(jobId);
  const stage = job.stages[spec.stage];
  const layer = job.layers[spec.layer];
  if (stage === undefined || layer === undefined) return;
  const done = intersection(outcome.done, spec.microbatches);
  job.computeMs += outcome.computeMs;
  measure(job, lease.worker, outcome);
  countWork(job, spec, done);
  for (const snapshot of outcome.snapshots) addSnapshot(t, jobId, snapshot);
  if (spec.statistics && outcome.statistics !== null) addStatistics(t, jobId, lease, done, outcome);
  if (spec.hidden) layer.forwarded = union(layer.forwarded, done);
  const isLast = spec.layer === job.layers.length - 1;
  const given = intersection(spec.drop, isLast ? done : snapshotAt(job, spec.layer + 1));
  takeFromShare(stage, lease.worker, given);
  if (isEmpty(difference(allMicrobatches(job), spec.statistics ? calibratedAt(job, spec.layer) : layer.forwarded))) {
    delete job.retries[taskKind(spec)];
  }
  removeNeedlessSnapshots(t, jobId);
}

function measure(job: JobState, worker: string, outcome: OutcomeOf<'pass'>): void {
  if (outcome.computeMs <= 0 || outcome.tokens === 0) return;
  const rate = (outcome.tokens / outcome.computeMs) * 1000;
  const before = own(job.rates, worker);
  job.rates[worker] = before === undefined ? rate : (1 - RATE_WEIGHT) * before + RATE_WEIGHT * rate;
}

/** Work counts once: what was computed before, and got lost, is work done again. */
function countWork(job: JobState, spec: PassSpec, done: MicrobatchSet): void {
  const layer = job.layers[spec.layer];
  const known = spec.statistics ? calibratedAt(job, spec.layer) : (layer?.forwarded ?? NO_MICROBATCHES);
  const tokens = (set: MicrobatchSet): number => samplesOf(job, set) * (job.calibration?.sequenceLength ?? 0);
  const again = intersection(done, known);
  // Dense: a pass without statistics only brings back what was lost.
  const isRecovery = !spec.statistics && spec.weights === 'source';
  job.workDone += isRecovery ? 0 : tokens(difference(done, again));
  job.workRedone += isRecovery ? tokens(done) : tokens(again);
}

function addStatistics(
  t: Transition,
  jobId: string,
  lease: Lease,
  done: MicrobatchSet,
  outcome: OutcomeOf<'pass'>,
): void {
  const spec = lease.spec as PassSpec;
  const job = t.editJob(jobId);
  const layer = job.layers[spec.layer];
  if (layer === undefined || layer.status !== 'pending' || outcome.statistics === null) return;
  // Shares are disjoint; what came twice all the same counts once.
  if (!isEmpty(intersection(done, calibratedAt(job, spec.layer)))) return;
  const { tokens, computeMs, statistics: file } = outcome;
  layer.parts = [...layer.parts, { microbatches: done, file, worker: lease.worker, tokens, computeMs }];
  if (!isEmpty(difference(allMicrobatches(job), calibratedAt(job, spec.layer)))) return;
  layer.status = 'reducing';
  t.tell(jobId, 'layer', 'calibrated', {
    layer: spec.layer,
    tokens: layer.parts.reduce((sum, part) => sum + part.tokens, 0),
    computeMs: Math.max(...layer.parts.map((part) => part.computeMs)),
    workers: speedsOf(layer.parts),
  });
  t.command({ kind: 'reduceStatistics', job: jobId, layer: spec.layer });
}

/** Of each worker that took part: its tokens and how fast it was. */
function speedsOf(parts: JobState['layers'][number]['parts']) {
  const byWorker = new Map<string, { microbatches: number; tokens: number; computeMs: number }>();
  for (const part of parts) {
    const sum = byWorker.get(part.worker) ?? { microbatches: 0, tokens: 0, computeMs: 0 };
    byWorker.set(part.worker, {
      microbatches: sum.microbatches + countOf(part.microbatches),
      tokens: sum.tokens + part.tokens,
      computeMs: sum.computeMs + part.computeMs,
    });
  }
  return [...byWorker].map(([worker, sum]) => ({
    worker,
    ...sum,
    tokensPerSecond: sum.computeMs > 0 ? Math.round((sum.tokens / sum.computeMs) * 1000) : 0,
  }));
}

/** A worker that leaves wrote what it held: others go on with it. */
function handedOver(t: Transition, jobId: string, lease: Lease, outcome: OutcomeOf<'handOver'>): void {
  if (lease.spec.kind !== 'handOver') return;
  for (const snapshot of outcome.snapshots) addSnapshot(t, jobId, snapshot);
  const job = t.editJob(jobId);
  const { stage: index, boundary, microbatches } = lease.spec;
  const stage = job.stages[index];
  if (stage !== undefined) takeFromShare(stage, lease.worker, intersection(microbatches, snapshotAt(job, boundary)));
  t.tell(jobId, 'worker', 'handedOver', { worker: lease.worker, boundary, files: outcome.snapshots.length });
}

/** Said while the task still runs. */
export function snapshotWritten(t: Transition, event: EventOf<'snapshotWritten'>): void {
  const lease = currentLease(t.state, event.identity);
  if (lease?.worker === event.worker) addSnapshot(t, event.identity.job, event.snapshot);
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
  if (event.holdings !== null) setHeld(t, jobId, event.worker, event.holdings);
  const { boundary, microbatch } = details;
  if (code === 'InputsMissing' && typeof boundary === 'number' && typeof microbatch === 'number') {
    forgetSnapshot(t, jobId, boundary, microbatch);
  }
  removeUnfinished(t, jobId, lease);
  const job = t.editJob(jobId);
  const retry = retryOf(job, taskKind(lease.spec));
  // Hidden states that are gone by the time a task asks for them are nobody's failure: they are computed again.
  if (code === 'InputsMissing') retry.lost += 1;
  else retry.failures += 1;
  const isLast = !retryable || retry.failures >= FAILURES_MAX || retry.lost >= LOST_MAX;
  retry.notBeforeMs = t.nowMs + RETRY_BASE_MS * 2 ** Math.max(0, retry.failures - 1);
  retry.worker = event.worker;
  retry.why = `${code}: ${message.slice(0, WHY_CHARACTERS_MAX)}`;
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
  } else if (code !== 'InputsMissing') {
    shun(t, jobId, event.worker, lease);
  }
}

/** Lets others try, where there are others: one machine with too little memory must not fail the job. */
function shun(t: Transition, jobId: string, worker: string, lease: Lease): void {
  const job = t.editJob(jobId);
  job.shunnedUntilMs[worker] = t.nowMs + SHUN_MS;
  const others = usableWorkers(t.state, job).filter(
    ({ id }) => id !== worker && (own(job.shunnedUntilMs, id) ?? 0) <= t.nowMs,
  );
  if (lease.spec.kind !== 'pass' || others.length === 0) return;
  dropShares(t, jobId, worker);
  setHeld(t, jobId, worker, []);
  t.command({ kind: 'releaseJob', worker, job: jobId });
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
  Object.assign(job.layers[event.layer] as object, { status: 'pending', parts: [], statisticsFile: null });
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
  t.tell(event.job, 'job', 'succeeded', {
    weights,
    zeros,
    elapsedMs: t.nowMs - (job.startedMs ?? job.submittedMs),
    tokens: job.workDone,
    tokensAgain: job.workRedone,
  });
  t.explain(event.job, 'Succeeded', 'Published', `published to ${job.manifest.spec.output.destination}`);
  retire(job);
}

/**
 * A job that has succeeded is never taken up again, and what it was made of stands in its provenance: here it keeps what
 * people ask for later. Otherwise every job ever run would stand whole in memory and in every checkpoint of the journal.
 */
function retire(job: JobState): void {
  job.intake = null;
  if (job.plan !== null) {
    const outputShards = job.plan.outputShards.map((shard) => ({ ...shard, tensors: [] }));
    job.plan = { ...job.plan, outputShards };
  }
  job.layers = job.layers.map((layer) => ({ ...layer, parts: [], statisticsFile: null, tensors: [], forwarded: [] }));
  Object.assign(job, { digests: {}, held: {}, snapshots: [], rates: {}, retries: {}, shunnedUntilMs: {} });
}
