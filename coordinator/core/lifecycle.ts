/** A job from submission to its end, and back again: submit, intake, plan, cancel, fail, resume. */
import { type ErrorCode, toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { JsonValue } from '../../shared/events/job-event.ts';
import { recordLocation } from '../../shared/manifest/location.ts';
import { updatesWeights } from '../../shared/manifest/method-options.ts';
import { hessianFileName, layerFileName, leaseSuffix } from '../../shared/storage/staging-names.ts';
import { keepsAll } from './choices.ts';
import {
  adviceFor,
  chooseVersions,
  describeDrift,
  describeVersionDrift,
  fitsVersions,
  knownInputs,
  undigestedChanges,
} from './drift.ts';
import { beginEffect, carryOutEffects, effectName, effectsOf } from './effects.ts';
import { evaluationLocations } from './evaluation.ts';
import type { EffectFailure, EventOf } from './events.ts';
import { giveUpHessians } from './hessians.ts';
import { planJob, resolveMicrobatch, totalWork } from './plan.ts';
import { FAILURES_MAX, forgive, noteFailure, retryOf, THE_WHOLE, whyOf } from './retries.ts';
import { usableWorkers } from './shares.ts';
import {
  activeJob,
  type Calibration,
  type CoordinatorState,
  hasEnded,
  type JobFailure,
  type JobState,
  jobOf,
  type LayerState,
  type Lease,
  NOTHING_SPENT,
} from './state.ts';
import { noteLease } from './timeline.ts';
import type { Transition } from './transition.ts';

/** Kinds of failure that pass when somebody else makes room or comes back. */
const PASSING: ReadonlySet<ErrorCode> = new Set(['StorageFull', 'Unavailable', 'DeadlineExceeded']);

export function submitJob(t: Transition, event: EventOf<'jobSubmitted'>): void {
  if (jobOf(t.state, event.job) !== undefined || findTwin(t.state, event) !== undefined) return;
  t.addJob({
    id: event.job,
    namespace: event.namespace,
    name: event.name,
    manifest: event.manifest,
    submittedMs: t.nowMs,
    ...(event.reuse === undefined ? {} : { reuse: { job: event.reuse, copies: null, status: 'open' as const } }),
    ...(event.isReusable === undefined ? {} : { isReusable: event.isReusable }),
    ...(event.keepsHessians === undefined ? {} : { keepsHessians: event.keepsHessians }),
    phase: 'Queued',
    reason: 'Submitted',
    message: 'waits for its turn',
    sinceMs: t.nowMs,
    startedMs: null,
    endedMs: null,
    eventSequence: 0,
    resumePhase: null,
    intake: null,
    plan: null,
    calibration: null,
    evaluation: [],
    outputErrors: {},
    stages: [],
    layers: [],
    held: {},
    snapshots: [],
    rates: {},
    digests: {},
    leases: {},
    leaseCount: 0,
    retries: {},
    shunnedUntilMs: {},
    assembled: [],
    workersSeen: {},
    timeline: {},
    versions: null,
    workDone: 0,
    workTotal: 0,
    workRedone: 0,
    spent: NOTHING_SPENT,
    resumes: 0,
    measurement: null,
    failure: null,
  });
  const { model, output, pruning } = event.manifest.spec;
  t.tell(event.job, 'job', 'submitted', {
    name: event.name,
    source: model.source,
    destination: output.destination,
    method: pruning.method,
  });
}

/** A job that has not ended and has the same name, or writes to the same destination, inside it or around it: a second one is a mistake. */
export function findTwin(
  state: CoordinatorState,
  { namespace, name, manifest }: Pick<EventOf<'jobSubmitted'>, 'namespace' | 'name' | 'manifest'>,
): JobState | undefined {
  const destination = recordLocation(manifest.spec.output.destination);
  return Object.values(state.jobs).find(
    (job) =>
      !hasEnded(job) &&
      ((job.namespace === namespace && job.name === name) ||
        doOverlap(recordLocation(job.manifest.spec.output.destination), destination)),
  );
}

/** Whether one of two folders is the other, or in it. By name: what links hide, claiming the folder finds out. */
function doOverlap(a: string, b: string): boolean {
  const [first = '', second = ''] = [a, b].map((each) => `${each.replace(/\/+$/, '')}/`);
  return first.startsWith(second) || second.startsWith(first);
}

/** Starts the intake of the job whose turn it is. */
export function beginNextJob(t: Transition): void {
  const active = activeJob(t.state);
  if (active === undefined) return;
  if (active.phase === 'Queued') {
    const job = t.editJob(active.id);
    job.startedMs ??= t.nowMs;
    beginEffect(t, { kind: 'intake', job: active.id });
  }
}

export function intakeSucceeded(t: Transition, event: EventOf<'intakeSucceeded'>): void {
  const current = jobOf(t.state, event.job);
  if (current === undefined || current.phase !== 'Intake') return;
  if (current.intake !== null) {
    const known = knownInputs({ ...current, intake: current.intake });
    const drift = describeDrift(known, event.intake);
    // What is not committed can begin again: with mended inputs, or with other workers where those of before are gone.
    const stranded = isUnderWay(current) ? [] : describeVersionDrift(current, Object.values(t.state.workers));
    if (committedCount(current) === 0 && drift.length + stranded.length > 0) {
      return beginAnew(t, event, [...drift, ...stranded]);
    }
    if (drift.length > 0) {
      const advice = adviceFor(undigestedChanges(known, event.intake));
      const message = `the inputs are not those that the job began with (model in ${event.intake.sourceDirectory}): ${drift.join('; ')}. ${advice}`;
      return failJob(t, event.job, { code: 'SourceChanged', message, details: { drift } });
    }
  }
  const job = t.editJob(event.job);
  job.intake = event.intake;
  forgiveIntake(job);
  const next = job.resumePhase ?? 'Planning';
  job.resumePhase = null;
  if (next === 'Planning') {
    return t.explain(event.job, 'Planning', 'WaitingForWorker', 'needs at least one worker; none is attached');
  }
  t.explain(event.job, next, 'Resumed', 'goes on from what is committed');
  carryOutEffects(t, event.job);
}

function forgiveIntake(job: JobState): void {
  forgive(job, effectName({ kind: 'intake', job: job.id }), THE_WHOLE);
}

/** Whether workers have tasks or hidden states of the job: of those that are away after a restart nobody knows the version. */
function isUnderWay(job: JobState): boolean {
  return Object.keys(job.leases).length > 0 || Object.keys(job.held).length > 0;
}

/** Nothing is committed yet: the job begins again, what was computed goes, and everybody hears of it. */
function beginAnew(t: Transition, event: EventOf<'intakeSucceeded'>, drift: readonly string[]): void {
  releaseAll(t, event.job);
  const job = t.editJob(event.job);
  const files = [
    ...job.snapshots.flatMap((snapshot) => Object.values(snapshot.files)),
    ...job.layers.flatMap((layer) => (layer.hessians ?? []).map(({ file }) => file)),
    job.calibration?.file,
    ...job.evaluation.map((text) => text?.ids),
  ];
  const names = files.flatMap((file) => (file === undefined ? [] : [file.name]));
  if (names.length > 0) t.command({ kind: 'removeStaged', job: event.job, names });
  Object.assign(job, {
    intake: event.intake,
    plan: null,
    calibration: null,
    evaluation: [],
    outputErrors: {},
    stages: [],
    layers: [],
    held: {},
    snapshots: [],
    digests: {},
    versions: null,
    budgets: undefined,
    rates: {},
    workersSeen: {},
    timeline: {},
    workDone: 0,
    workTotal: 0,
    workRedone: 0,
    spent: NOTHING_SPENT,
    ...(job.reuse === undefined ? {} : { reuse: { ...job.reuse, copies: null, status: 'refused' } }),
  });
  forgiveIntake(job);
  job.resumePhase = null;
  t.tell(event.job, 'job', 'begunAnew', { drift });
  t.explain(event.job, 'Planning', 'WaitingForWorker', 'needs at least one worker; none is attached');
}

/** Lays the job out as soon as there is a worker: `stages: auto` counts those that are there then. */
export function tryPlan(t: Transition): void {
  const job = activeJob(t.state);
  if (job === undefined || job.phase !== 'Planning' || job.intake === null) return;
  const usable = usableWorkers(t.state, job).map((worker) => worker.capabilities);
  if (usable.length === 0) return;
  const versions = job.versions ?? chooseVersions(usable);
  const workers = usable.filter((worker) => fitsVersions({ versions }, worker));
  let plan: ReturnType<typeof planJob>;
  try {
    plan = planJob(job.manifest, job.intake, workers);
  } catch (thrown) {
    const { code, message, details } = toSecateurError(thrown);
    return failJob(t, job.id, { code, message, details });
  }
  const edited = t.editJob(job.id);
  edited.plan = plan;
  edited.versions = versions;
  edited.evaluation = evaluationLocations(job.manifest).map(() => null);
  edited.stages = plan.stages.map((stage) => ({ ...stage, shares: {} }));
  edited.layers = job.intake.layers.map((_, layer) => emptyLayer(keepsAll(job, layer)));
  t.tell(job.id, 'job', 'planned', {
    stages: plan.stages as unknown as JsonValue,
    replicas: plan.replicas,
    snapshotInterval: plan.snapshotInterval,
    layers: job.intake.layers.length,
    outputShards: plan.outputShards.length,
    workers: workers.length,
    warnings: job.intake.warnings,
  });
  t.explain(job.id, 'Preparing', 'PreparingCalibration', 'chooses the calibration windows');
}

/** A layer that keeps every weight needs no statistics: it can be committed at once. */
export function emptyLayer(isKept: boolean): LayerState {
  return {
    status: isKept ? 'ready' : 'pending',
    parts: [],
    statisticsFile: null,
    file: null,
    tensors: [],
    committedMs: 0,
    worker: null,
    pruneMs: 0,
    forwarded: [],
    commitMs: 0,
  };
}

/**
 * Tries again with growing pauses where the failure may pass; else, and after the last attempt, the job fails. A failure
 * of what nobody needs any more changes nothing.
 */
export function effectFailed(t: Transition, event: EventOf<'effectFailed'>): void {
  const current = jobOf(t.state, event.job);
  if (current === undefined || !effectsOf(current).some((command) => effectName(command) === event.effect)) return;
  const { code, message, details } = event.failure;
  if (code === 'StorageFull') giveUpHessians(t, event.job);
  const retry = retryOf(t.editJob(event.job), event.effect);
  retry.why = whyOf(event.failure);
  const failures = noteFailure(retry, THE_WHOLE, t.nowMs);
  if (!mayPass(event.failure) || failures >= FAILURES_MAX) {
    const tried = failures > 1 ? `the coordinator's ${event.effect} failed (tried ${failures} times): ` : '';
    return failJob(t, event.job, { code, message: `${tried}${message}`, details });
  }
  const pauseMs = retry.notBeforeMs - t.nowMs;
  t.tell(event.job, 'job', 'effectFailed', { effect: event.effect, failures, code, message, pauseMs });
}

function mayPass({ code, retryable }: EffectFailure): boolean {
  return retryable !== undefined && (retryable || PASSING.has(code));
}

/** Ends a job without its output. Committed layers and the staging folder stay for a resume. */
export function failJob(t: Transition, jobId: string, failure: JobFailure): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || hasEnded(job)) return;
  const phase = job.phase;
  const edited = stopJob(t, jobId);
  edited.failure = failure;
  edited.resumePhase = resumableFrom(job);
  t.explain(jobId, 'Failed', failure.code, failure.message);
  t.tell(jobId, 'job', 'failed', {
    phase,
    code: failure.code,
    message: failure.message,
    details: failure.details as JsonValue,
  });
}

export function cancelJob(t: Transition, event: EventOf<'cancelRequested'>): void {
  const job = jobOf(t.state, event.job);
  // Files are being moved into their place: a moment later the job has succeeded.
  if (job === undefined || hasEnded(job) || job.reason === 'Publishing') return;
  stopJob(t, event.job).resumePhase = resumableFrom(job);
  t.explain(event.job, 'Cancelled', 'CancelRequested', 'cancelled; committed layers stay, `resume` goes on from them');
  t.tell(event.job, 'job', 'cancelled', { phase: job.phase });
}

function stopJob(t: Transition, jobId: string): JobState {
  releaseAll(t, jobId);
  const job = t.editJob(jobId);
  job.endedMs = t.nowMs;
  return job;
}

/** Takes back what workers run for a job, and has them forget what they hold of it. */
function releaseAll(t: Transition, jobId: string): void {
  const job = t.editJob(jobId);
  releaseWorkers(
    t,
    jobId,
    new Set([
      ...job.stages.flatMap((stage) => Object.keys(stage.shares)),
      ...Object.keys(job.held),
      ...Object.values(job.leases).map((each) => each.worker),
    ]),
  );
}

/** The same, of these workers. Nobody has a share then. */
export function releaseWorkers(t: Transition, jobId: string, workers: ReadonlySet<string>): void {
  endLeases(t, jobId, workers);
  for (const worker of workers) t.command({ kind: 'releaseJob', worker, job: jobId });
}

/** These workers run nothing for the job any more, nor hold anything that counts; nobody has a share. */
function endLeases(t: Transition, jobId: string, workers: ReadonlySet<string>): void {
  const job = t.editJob(jobId);
  for (const lease of Object.values(job.leases)) {
    const { task, attempt, epoch, worker } = lease;
    if (!workers.has(worker)) continue;
    t.command({ kind: 'abort', worker, identity: { job: jobId, task, attempt, epoch } });
    noteLease(job, lease, 'stopped', t.nowMs);
    removeUnfinished(t, jobId, lease);
    delete job.leases[task];
  }
  for (const worker of workers) delete job.held[worker];
  for (const stage of job.stages) stage.shares = {};
}

/** What a lease that came to nothing may have left: nobody will ever name that file. */
export function removeUnfinished(t: Transition, jobId: string, lease: Lease): void {
  const { spec } = lease;
  if (spec.kind === 'prune') t.command({ kind: 'removeStaged', job: jobId, names: [layerFileName(spec.layer, lease)] });
  if (spec.kind === 'pass' && spec.hessian)
    t.command({ kind: 'removeStaged', job: jobId, names: [hessianFileName(spec.layer, leaseSuffix(lease))] });
}

function resumableFrom(job: JobState): JobState['phase'] | null {
  if (job.resumePhase !== null) return job.resumePhase;
  return job.phase === 'Queued' || job.phase === 'Intake' ? null : job.phase;
}

/**
 * A coordinator that starts does not know what happened to the inputs while none was there: it reads them again before
 * it gives out another task. Tasks that are under way go on, and what they bring counts; publishing looks for itself.
 */
export function checkInputsAgain(t: Transition, jobId: string): void {
  const job = jobOf(t.state, jobId);
  if (job === undefined || hasEnded(job) || job.phase === 'Queued') return;
  const isPublishing = effectsOf(job).some(({ kind }) => kind === 'publishCheckpoint');
  if (job.phase === 'Intake' || job.intake === null || isPublishing) return carryOutEffects(t, jobId);
  t.editJob(jobId).resumePhase = job.phase;
  beginEffect(t, { kind: 'intake', job: jobId });
}

/** Reads the inputs again first: `intakeSucceeded` compares them with those that the job began with. */
export function resumeJob(t: Transition, event: EventOf<'resumeRequested'>): void {
  const current = jobOf(t.state, event.job);
  if (current === undefined || (current.phase !== 'Failed' && current.phase !== 'Cancelled')) return;
  if (findTwin(t.state, current) !== undefined) return;
  // Behind those that wait or run: a resumed job takes nobody's workers away.
  t.moveToEnd(event.job);
  const job = t.editJob(event.job);
  forgetUnusableStatistics(job);
  job.failure = null;
  job.endedMs = null;
  job.retries = {};
  job.shunnedUntilMs = {};
  job.resumes += 1;
  t.tell(event.job, 'job', 'resumed', { from: current.phase, committed: committedCount(job) });
  t.explain(event.job, 'Queued', 'Resumed', 'waits for its turn');
}

/** Samples whose sums are no numbers stay so, however often they are added up: their layer is calibrated again. */
function forgetUnusableStatistics(job: JobState): void {
  const { code, details } = job.failure ?? {};
  const layer = code === 'NonFiniteValue' ? job.layers[Number(details?.layer)] : undefined;
  if (layer?.status === 'reducing') Object.assign(layer, { status: 'pending', parts: [] });
}

export function committedCount(job: JobState): number {
  return job.layers.filter((layer) => layer.status === 'committed').length;
}

/** The token ids are there: how many there are says what a microbatch and a whole run are. */
export function adoptCalibration(job: JobState, calibration: Calibration): void {
  const { samples, sequenceLength } = calibration;
  job.calibration = calibration;
  if (job.plan !== null) {
    const microbatch = resolveMicrobatch(job, samples, sequenceLength);
    job.plan = { ...job.plan, samples, sequenceLength, microbatch };
  }
  job.workTotal += workTotal(job);
}

/** What a whole run is worth in tokens through layers; known once the calibration data is. */
function workTotal(job: JobState): number {
  if (job.calibration === null) return 0;
  const { pruning } = job.manifest.spec;
  const tokens = job.calibration.samples * job.calibration.sequenceLength;
  // Taken over: the sums, and Hessians where there are some.
  const isSummed = ({ status }: LayerState): boolean => status !== 'pending' && status !== 'ready';
  const lacksHessian = ({ hessians = [] }: LayerState): boolean => updatesWeights(pruning) && hessians.length === 0;
  const needsNone = job.layers.map(
    (layer) => layer.status === 'ready' || (isSummed(layer) && !lacksHessian(layer) && layer.status !== 'correlating'),
  );
  const summed = job.layers.filter((layer, index) => isSummed(layer) && !needsNone[index]).length;
  return totalWork(job.manifest, needsNone, tokens) - summed * tokens;
}
