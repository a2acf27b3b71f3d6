/** What workers and effects bring back. A result counts only from the worker, attempt and epoch that were leased. */

import type { ErrorCode, ErrorDetails } from '../../shared/errors/secateur-error.ts';
import { isPublished, recordLocation } from '../../shared/manifest/location.ts';
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
import { outliersCounted } from './budgets.ts';
import { carryOutEffects, effectName } from './effects.ts';
import { errorsMeasured, gateFailure, isEvaluated, isPrepared, textPrepared, windowsEvaluated } from './evaluation.ts';
import type { EventOf, TaskIdentity, TaskOutcome } from './events.ts';
import { addHessian, forgetHessian, giveUpHessians, measuredStatus, releaseHessians } from './hessians.ts';
import { adoptCalibration, committedCount, failJob, releaseWorkers, removeUnfinished } from './lifecycle.ts';
import { allMicrobatches, calibratedAt, correlatedAt, samplesOf, snapshotAt } from './lineage.ts';
import { isAsBefore, isCountedOn, loseFile } from './losses.ts';
import { measurementOf } from './measurement.ts';
import {
  charge,
  chargedBy,
  FAILURES_MAX,
  forgive,
  noteFailure,
  retryOf,
  THE_WHOLE,
  whyOf,
  worstOf,
} from './retries.ts';
import { keepWork } from './reuse.ts';
import { dropShares, takeFromShare, usableWorkers } from './shares.ts';
import { addSnapshot, forgetSnapshot, removeNeedlessSnapshots } from './snapshots.ts';
import {
  activeJob,
  countPruned,
  currentLease,
  type JobFailure,
  type JobState,
  jobOf,
  type Lease,
  leaseOf,
  own,
} from './state.ts';
import { type PassSpec, taskKind, taskName } from './task.ts';
import { type LeaseEnd, noteLease } from './timeline.ts';
import type { Transition } from './transition.ts';
import { LOST_MAX, setHeld } from './workers.ts';

/** After a failure on one worker others are preferred to it for so long. */
const SHUN_MS = 30_000;
/** What may be the worker's own fault: its memory, its device, its engine. A storage that hiccups is everybody's. */
const OWN_FAULTS: ReadonlySet<ErrorCode> = new Set([
  'EngineCrashed',
  'EngineFailed',
  'DeviceMemoryExhausted',
  'ProviderUnavailable',
  'Internal',
]);
/** Of a newly measured speed in the running figure. */
const RATE_WEIGHT = 0.5;

type OutcomeOf<K extends TaskOutcome['kind']> = Extract<TaskOutcome, { kind: K }>;

export function taskSucceeded(t: Transition, event: EventOf<'taskSucceeded'>): void {
  const lease = takeLease(t, event.worker, event.identity, 'done', event.outcome);
  if (lease === null) return;
  const jobId = event.identity.job;
  setHeld(t, jobId, event.worker, event.holdings);
  const outcome = event.outcome;
  const done = 'done' in outcome ? outcome.done : chargedBy(lease.spec);
  forgive(t.editJob(jobId), taskKind(lease.spec), done);
  switch (outcome.kind) {
    case 'prepareCalibration':
      calibrationPrepared(t, jobId, outcome);
      break;
    case 'prepareEvaluation':
      if (lease.spec.kind === 'prepareEvaluation') textPrepared(t, jobId, lease.spec.text, outcome);
      break;
    case 'evaluate':
      if (lease.spec.kind === 'evaluate') windowsEvaluated(t, jobId, lease.spec, outcome);
      break;
    case 'measureError':
      errorsMeasured(t, jobId, outcome);
      break;
    case 'countOutliers':
      if (lease.spec.kind === 'countOutliers') outliersCounted(t, jobId, lease.spec.layer, lease.worker, outcome);
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
}

/** Ends the lease that a message is about; null where it is about none (stale, twice, of an ended job). */
function takeLease(
  t: Transition,
  worker: string,
  identity: TaskIdentity,
  end: LeaseEnd,
  outcome?: TaskOutcome,
): Lease | null {
  const lease = currentLease(t.state, identity);
  if (lease === undefined || lease.worker !== worker) return null;
  const job = t.editJob(identity.job);
  delete job.leases[lease.task];
  noteLease(job, lease, end, t.nowMs, outcome);
  return lease;
}

function calibrationPrepared(t: Transition, jobId: string, outcome: OutcomeOf<'prepareCalibration'>): void {
  const job = t.editJob(jobId);
  const { samples, sequenceLength, file } = outcome.calibration;
  const before = job.calibration;
  if (before?.isLost === true) {
    if (!isAsBefore(t, jobId, 'the token ids', before.file.sha256, file)) return;
    const { isLost: _, ...found } = before;
    job.calibration = { ...found, file };
    t.tell(jobId, 'calibration', 'prepared', { samples, sequenceLength, sha256: file.sha256 });
    return;
  }
  adoptCalibration(job, { ...outcome.calibration, atMs: t.nowMs });
  t.tell(jobId, 'calibration', 'prepared', { samples, sequenceLength, sha256: file.sha256 });
}

function passFinished(t: Transition, jobId: string, lease: Lease, outcome: OutcomeOf<'pass'>): void {
  const spec = lease.spec;
  if (spec.kind !== 'pass') return;
  const job = t.editJob(jobId);
  const stage = job.stages[spec.stage];
  const layer = job.layers[spec.layer];
  if (stage === undefined || layer === undefined) return;
  const done = intersection(outcome.done, spec.microbatches);
  spend(job, outcome);
  measure(job, lease.worker, outcome);
  countWork(job, spec, done);
  for (const snapshot of outcome.snapshots) addSnapshot(t, jobId, snapshot);
  if (spec.statistics && outcome.statistics !== null) addStatistics(t, jobId, lease, done, outcome);
  if (spec.hessian && outcome.hessian !== undefined)
    addHessian(t, jobId, spec, done, allMicrobatches(job), outcome.hessian);
  if (spec.hidden) layer.forwarded = union(layer.forwarded, done);
  const isLast = spec.layer === job.layers.length - 1;
  const given = intersection(spec.drop, isLast ? done : snapshotAt(job, spec.layer + 1));
  takeFromShare(stage, lease.worker, given);
  removeNeedlessSnapshots(t, jobId);
}

function spend(job: JobState, { spent, snapshots }: OutcomeOf<'pass'>): void {
  const before = job.spent;
  job.spent = {
    ...before,
    computeMs: before.computeMs + spent.computeMs,
    loadMs: before.loadMs + spent.loadMs,
    snapshotMs: before.snapshotMs + spent.snapshotMs,
    bytesRead: before.bytesRead + spent.bytesRead,
    bytesWritten: snapshots.reduce((sum, { file }) => sum + file.sizeBytes, before.bytesWritten),
    workerMemoryBytes: Math.max(before.workerMemoryBytes, spent.peakResidentBytes),
  };
}

function measure(job: JobState, worker: string, outcome: OutcomeOf<'pass'>): void {
  const { computeMs } = outcome.spent;
  if (computeMs <= 0 || outcome.tokens === 0) return;
  const rate = (outcome.tokens / computeMs) * 1000;
  const before = own(job.rates, worker);
  const after = before === undefined ? rate : (1 - RATE_WEIGHT) * before + RATE_WEIGHT * rate;
  if (after !== before) job.rates = { ...job.rates, [worker]: after };
}

/** Work counts once: what was computed before, and got lost, is work done again. */
function countWork(job: JobState, spec: PassSpec, done: MicrobatchSet): void {
  const known = knownOf(job, spec);
  const tokens = (set: MicrobatchSet): number => samplesOf(job, set) * (job.calibration?.sequenceLength ?? 0);
  const again = intersection(done, known);
  job.workDone += tokens(difference(done, again));
  job.workRedone += tokens(again);
}

function knownOf(job: JobState, { statistics, hessian, layer }: PassSpec): MicrobatchSet {
  if (statistics) return calibratedAt(job, layer);
  return hessian ? correlatedAt(job, layer) : (job.layers[layer]?.forwarded ?? NO_MICROBATCHES);
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
  const { tokens, statistics: file } = outcome;
  const { computeMs } = outcome.spent;
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
  removeNeedlessSnapshots(t, jobId);
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
  if (layer.lostSha256 !== undefined && !isAsBefore(t, jobId, `layer ${spec.layer}`, layer.lostSha256, outcome.file))
    return;
  Object.assign(layer, {
    status: 'committed',
    file: outcome.file,
    tensors: outcome.tensors,
    committedMs: t.nowMs,
    worker: lease.worker,
    pruneMs: outcome.pruneMs,
    commitMs: outcome.commitMs,
  });
  releaseHessians(t, jobId, spec.layer);
  for (const { linears, from, to } of outcome.dampingRaises ?? [])
    t.tell(jobId, 'layer', 'dampingRaised', { layer: spec.layer, linears: [...linears], from, to });
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

/**
 * The next phase, where all of this one is done: Preparing → Pruning → Evaluating (where the manifest asks for it) →
 * Assembling. Derived in every step, whatever came last: a result, or the inputs of a job that was resumed.
 */
export function advancePhase(t: Transition): void {
  const active = activeJob(t.state);
  if (active === undefined || active.intake === null) return;
  const jobId = active.id;
  if (active.phase === 'Preparing' && isPrepared(active)) {
    t.explain(jobId, 'Pruning', 'Running', 'calibration data and texts are ready');
  }
  const job = activeJob(t.state) as JobState;
  const isPruned = job.layers.every((layer) => layer.status === 'committed');
  if (job.phase === 'Pruning' && isPruned && !isEvaluated(job)) {
    return t.explain(jobId, 'Evaluating', 'Running', 'every layer is committed; measures perplexity');
  }
  if ((job.phase !== 'Pruning' && job.phase !== 'Evaluating') || !isPruned || !isEvaluated(job)) return;
  const failure = gateFailure(job);
  if (failure !== null) return failJob(t, jobId, failure);
  if (job.calibration?.isLost === true) return;
  if (!active.intake.shards.every((shard) => own(job.digests, shard.file) !== undefined)) return;
  const { leases, held } = t.editJob(jobId);
  const busy = Object.values(leases).map(({ worker }) => worker);
  releaseWorkers(t, jobId, new Set([...Object.keys(t.state.workers), ...Object.keys(held), ...busy]));
  t.explain(jobId, 'Assembling', 'WritingShards', 'every layer is committed');
  carryOutEffects(t, jobId);
}

/**
 * Tries again with growing pauses where the failure may pass; else, and after the last attempt, the job fails. Three kinds
 * of failure never end a job by themselves: hidden states that are gone are computed again (unless they are gone each
 * time), a hand-over only saves computing again, and a file that is damaged, or stays away, is made again.
 */
export function taskFailed(t: Transition, event: EventOf<'taskFailed'>): void {
  const lease = takeLease(t, event.worker, event.identity, 'failed');
  if (lease === null) return;
  const jobId = event.identity.job;
  const { code, message, retryable } = event.failure;
  if (code === 'StorageFull') giveUpHessians(t, jobId);
  if (event.holdings !== null) setHeld(t, jobId, event.worker, event.holdings);
  removeUnfinished(t, jobId, lease);
  if (lease.spec.kind === 'handOver') return handOverFailed(t, jobId, lease, event.failure);
  const count = countFailure(t, jobId, lease, event);
  const isMissing = code === 'InputsMissing';
  const isLast = !retryable || count >= (isMissing ? LOST_MAX : FAILURES_MAX);
  if (isLast || code === 'ChecksumMismatch') {
    const lost = lostFile(t, jobId, event);
    if (lost !== null) {
      tellFailure(t, jobId, lease, event.failure, true);
      forgive(t.editJob(jobId), taskKind(lease.spec), chargedBy(lease.spec));
      return loseFile(t, jobId, lost, message);
    }
  }
  tellDampingTried(t, jobId, lease, event.failure.details);
  tellFailure(t, jobId, lease, event.failure, !isLast);
  if (isLast) {
    const tried = count > 1 ? ` (tried ${count} times)` : '';
    const { details } = event.failure;
    const failure: JobFailure = {
      code,
      message: `task ${lease.task} on ${event.worker} failed${tried}: ${message}`,
      details,
    };
    failJob(t, jobId, failure);
  } else if (!isMissing) {
    shun(t, jobId, event.worker, lease, code);
  }
}

/** A factorization that failed with every damping: the same events as where one of them did. */
function tellDampingTried(
  t: Transition,
  jobId: string,
  { spec }: Lease,
  { dampingTried, linears }: ErrorDetails,
): void {
  if (spec.kind !== 'prune' || !Array.isArray(dampingTried) || !Array.isArray(linears)) return;
  const fractions = dampingTried.map(Number);
  for (const [index, to] of fractions.slice(1).entries())
    t.tell(jobId, 'layer', 'dampingRaised', { layer: spec.layer, linears, from: fractions[index] as number, to });
}

/** The committed layer, or the token ids, that a task could not read; null where it is none that still counts. */
function lostFile(t: Transition, jobId: string, { failure: { details } }: EventOf<'taskFailed'>): string | null {
  const { staged } = details;
  return typeof staged === 'string' && isCountedOn(t.editJob(jobId), staged) ? staged : null;
}

/** @returns how often the worst microbatch of this failure has failed so by now */
function countFailure(t: Transition, jobId: string, lease: Lease, event: EventOf<'taskFailed'>): number {
  const { code, details } = event.failure;
  const { boundary, microbatch, hessian } = details;
  const job = t.editJob(jobId);
  const retry = retryOf(job, taskKind(lease.spec));
  retry.worker = event.worker;
  retry.why = whyOf(event.failure);
  if (code === 'InputsMissing') {
    const isOneFile = typeof boundary === 'number' && typeof microbatch === 'number';
    const missing: MicrobatchSet = isOneFile ? [[microbatch, microbatch + 1]] : chargedBy(lease.spec);
    if (isOneFile) forgetSnapshot(t, jobId, boundary, microbatch);
    if (lease.spec.kind === 'prune' && typeof hessian === 'string') forgetHessian(t, jobId, lease.spec.layer, hessian);
    retry.lost = charge(retry.lost, missing);
    return worstOf(retry.lost, missing);
  }
  return noteFailure(retry, chargedBy(lease.spec), t.nowMs);
}

function tellFailure(
  t: Transition,
  jobId: string,
  { task, attempt, worker }: Lease,
  { code, message }: JobFailure,
  retried: boolean,
): void {
  t.tell(jobId, 'task', 'failed', { task, attempt, worker, code, message, retried });
}

/** What the leaver could not save is computed again, by others. */
function handOverFailed(t: Transition, jobId: string, lease: Lease, failure: JobFailure): void {
  tellFailure(t, jobId, lease, failure, false);
  dropShares(t, jobId, lease.worker);
  setHeld(t, jobId, lease.worker, []);
}

/** Lets others try, where there are others: one machine with too little memory must not fail the job. */
function shun(t: Transition, jobId: string, worker: string, lease: Lease, code: ErrorCode): void {
  if (!OWN_FAULTS.has(code)) return;
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
  const job = t.editJob(event.job);
  const status = measuredStatus(job, event.layer, allMicrobatches(job));
  Object.assign(job.layers[event.layer] as object, { status, statisticsFile: event.file });
  forgive(job, effectName({ kind: 'reduceStatistics', job: event.job, layer: event.layer }), THE_WHOLE);
}

/** The stored statistics of the samples are unreadable: the layer is calibrated again. Hessians are as good as before. */
export function statisticsLost(t: Transition, event: EventOf<'statisticsLost'>): void {
  const current = jobOf(t.state, event.job);
  const layer = current?.layers[event.layer];
  if (current === undefined || layer === undefined) return;
  if (layer.status === 'pending' || layer.status === 'committed') return;
  // A prune that is under way has its statistics with it.
  if (leaseOf(current, taskName({ kind: 'prune', stage: 0, layer: event.layer })) !== undefined) return;
  const job = t.editJob(event.job);
  // Done once, and to be done again.
  const tokens = samplesOf(job, calibratedAt(job, event.layer)) * (job.calibration?.sequenceLength ?? 0);
  job.workDone -= tokens;
  job.workRedone += tokens;
  Object.assign(job.layers[event.layer] as object, { status: 'pending', parts: [], statisticsFile: null });
  forgive(job, effectName({ kind: 'reduceStatistics', job: event.job, layer: event.layer }), THE_WHOLE);
  const name = `statistics-${fiveDigits(event.layer)}`;
  const retry = retryOf(job, name);
  retry.lost = charge(retry.lost, THE_WHOLE);
  const lost = retry.lost.length;
  if (lost < LOST_MAX) return;
  const message = `the stored statistics of layer ${event.layer} were unreadable ${lost} times. Check the disk of the coordinator's state folder, then resume the job.`;
  failJob(t, event.job, { code: 'StorageFailed', message, details: { layer: event.layer } });
}

export function shardAssembled(t: Transition, event: EventOf<'shardAssembled'>): void {
  const current = jobOf(t.state, event.job);
  if (current === undefined || current.phase !== 'Assembling' || current.assembled.length !== event.shard) return;
  const job = t.editJob(event.job);
  forgive(job, effectName({ kind: 'assembleShard', job: event.job, shard: event.shard }), THE_WHOLE);
  job.assembled.push(event.file);
  t.tell(event.job, 'checkpoint', 'shardWritten', {
    ...event.file,
    shard: event.shard,
    shards: current.plan?.outputShards.length ?? 0,
  });
  carryOutEffects(t, event.job);
}

export function checkpointPublished(t: Transition, event: EventOf<'checkpointPublished'>): void {
  const current = jobOf(t.state, event.job);
  if (current === undefined || current.phase !== 'Assembling') return;
  const job = t.editJob(event.job);
  job.endedMs = t.nowMs;
  job.measurement = measurementOf(job, t.nowMs);
  const { weights, zeros } = countPruned(job.layers.flatMap((layer) => layer.tensors));
  const { output } = job.manifest.spec;
  const destination = recordLocation(output.destination);
  t.tell(event.job, 'checkpoint', isPublished(output) ? 'published' : 'discarded', {
    destination,
    files: event.files.length,
    ...(event.statisticsMissing === undefined ? {} : { statisticsMissing: event.statisticsMissing }),
  });
  t.tell(event.job, 'job', 'succeeded', {
    weights,
    zeros,
    elapsedMs: t.nowMs - (job.startedMs ?? job.submittedMs),
    tokens: job.workDone,
    tokensAgain: job.workRedone,
  });
  if (isPublished(output)) {
    t.explain(event.job, 'Succeeded', 'Published', `published to ${destination}`);
  } else {
    t.explain(
      event.job,
      'Succeeded',
      'Recorded',
      `nothing is published, as asked; what was found is in ${destination}`,
    );
  }
  keepWork(t, event.job);
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
  job.layers = job.layers.map(({ hessians: _kept, ...layer }) => ({
    ...layer,
    parts: [],
    statisticsFile: null,
    tensors: [],
    forwarded: [],
  }));
  Object.assign(job, {
    evaluation: [],
    outputErrors: {},
    digests: {},
    held: {},
    snapshots: [],
    rates: {},
    timeline: {},
    retries: {},
    shunnedUntilMs: {},
  });
}
