/**
 * Work that a job takes over from an earlier one instead of doing it again: token ids, windows of the evaluation, the
 * dense model's likelihoods, digests of the source, and, where both propagate dense activations, sums of statistics and
 * Hessians. Pure.
 *
 *  1. Nothing is taken over that the job would have computed otherwise: model, files, specs and the versions that compute
 *     have to be equal, field by field; whatever is in doubt is computed.
 *  2. A job keeps what a later one may take over only if its submission asked for it, and until a later one that may be
 *     taken over in turn has taken its place. No more than `KEPT_MAX` jobs do.
 */
import { updatesWeights } from '../../shared/manifest/method-options.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { firstMicrobatches } from '../../shared/microbatch-set.ts';
import { evaluationLocations, perplexityOf, tokensThrough } from './evaluation.ts';
import type { EventOf } from './events.ts';
import { keepsHessians, measuredStatus, prunedStatistics } from './hessians.ts';
import { adoptCalibration } from './lifecycle.ts';
import { resolveMicrobatch } from './plan.ts';
import {
  activeJob,
  type CoordinatorState,
  type EvaluatedText,
  type JobIntake,
  type JobState,
  jobOf,
  type KeptHessians,
  type KeptWork,
  type ReusedCopies,
} from './state.ts';
import type { Transition } from './transition.ts';

/** Small things each, but in memory and in every checkpoint of the journal. */
const KEPT_MAX = 8;

/** What an earlier job kept; null where it keeps nothing (any more). */
function keptOf(state: CoordinatorState, job: string): KeptWork | null {
  return jobOf(state, job)?.kept ?? null;
}

/** Whether sums of the one's statistics are those of the other's: a layer's input depends on what was pruned before it. */
export function mayShareSums(job: Manifest, from: Manifest): boolean {
  return job.spec.pruning.propagate === 'dense' && from.spec.pruning.propagate === 'dense';
}

/** Whether Hessians of the one are of use to the other: to prune with, or to keep for one that comes after it. */
export function wantsHessians(job: JobState, from: JobState): boolean {
  return mayShareSums(job.manifest, from.manifest) && (updatesWeights(job.manifest.spec.pruning) || keepsHessians(job));
}

/** The inputs were read, and what the other job kept was copied beside: whether it is taken over, its plan decides. */
export function noteCopies(t: Transition, event: EventOf<'intakeSucceeded'>): void {
  const job = jobOf(t.state, event.job);
  if (job?.reuse?.status !== 'open' || event.copies === undefined) return;
  t.editJob(event.job).reuse = { ...job.reuse, copies: event.copies };
}

/** In the step in which the job is planned: before that nobody knows which versions compute it, after that it computes. */
export function takeOver(t: Transition): void {
  const active = activeJob(t.state);
  if (active?.phase !== 'Preparing' || active.reuse?.status !== 'open') return;
  const { job: from, copies } = active.reuse;
  const job = t.editJob(active.id);
  job.reuse = { job: from, copies: null, status: 'refused' };
  const earlier = jobOf(t.state, from);
  const kept = keptOf(t.state, from);
  if (
    earlier === undefined ||
    kept === null ||
    copies === null ||
    earlier.calibration === null ||
    job.intake === null
  ) {
    return t.tell(job.id, 'job', 'reused', { from, why: ['it keeps nothing that could be taken over'] });
  }
  const why = differences(job, job.intake, earlier, kept);
  if (why.length > 0) return t.tell(job.id, 'job', 'reused', { from, why });

  job.reuse = { ...job.reuse, status: 'taken' };
  job.digests = { ...kept.digests };
  const measured = mayShareSums(job.manifest, earlier.manifest) ? takeMeasured(job, earlier, kept, copies) : NOTHING;
  adoptCalibration(job, { ...earlier.calibration, file: copies.calibration });
  const isSameEvaluation = isEqual(evaluationOf(job.manifest), evaluationOf(earlier.manifest));
  const isSameText = isEqual(job.intake.evaluationFiles, kept.inputs.evaluationFiles);
  const texts = isSameEvaluation && isSameText ? kept.evaluation : [];
  for (const [index, text] of texts.entries()) takeText(job, index, { ...text, ids: copies.texts[index] ?? text.ids });
  const dense = texts.map((text, index) => ({
    text: evaluationLocations(job.manifest)[index] ?? '',
    perplexity: perplexityOf(text, 'source'),
  }));
  t.tell(job.id, 'job', 'reused', { from, calibration: true, ...measured, dense });
}

/** Of how many layers the sums are there, and of how many of these the Hessians. */
interface Measured {
  readonly layers: number;
  readonly hessians: number;
}

const NOTHING: Measured = { layers: 0, hessians: 0 };

/** A layer whose sums, and Hessians where it needs them, are there can be pruned. */
function takeMeasured(job: JobState, earlier: JobState, kept: KeptWork, copies: ReusedCopies): Measured {
  const { samples = 0, sequenceLength = 0 } = earlier.calibration ?? {};
  const microbatch = resolveMicrobatch(job, samples, sequenceLength);
  const all = firstMicrobatches(Math.ceil(samples / microbatch));
  let [layers, hessians] = [0, 0];
  for (const [index, layer] of job.layers.entries()) {
    const file = copies.sums[index];
    if (!file) continue;
    // Also of a layer that keeps all and needs none: for the job behind this one.
    layer.statisticsFile = file;
    if (layer.status !== 'pending') continue;
    layers += 1;
    const parts = copies.hessians?.[index];
    // Which samples are in a part is said by its microbatches; what is in it, by what was pruned.
    const areTheirs = microbatch === earlier.plan?.microbatch && doCover(kept.hessians?.[index], job, index);
    if (parts && areTheirs) {
      layer.hessians = parts;
      hessians += 1;
    }
    layer.status = measuredStatus(job, index, all);
  }
  return { layers, hessians };
}

function doCover(kept: KeptHessians | null | undefined, job: JobState, layer: number): boolean {
  return kept != null && [...prunedStatistics(job, layer)].every((statistic) => kept.statistics.includes(statistic));
}

function takeText(job: JobState, index: number, text: EvaluatedText): void {
  job.evaluation[index] = text;
  job.workTotal += tokensThrough(job, text.windows, text.sequenceLength);
}

/** Why nothing may be taken over; nothing where it may. */
function differences(job: JobState, intake: JobIntake, earlier: JobState, kept: KeptWork): string[] {
  const { evaluationFiles: _texts, ...inputs } = kept.inputs;
  const pairs: [string, unknown, unknown][] = [
    ['versions', job.versions, earlier.versions],
    ['spec.calibration', calibrationOf(job.manifest), calibrationOf(earlier.manifest)],
    ...Object.entries(inputs).map(([name, value]): [string, unknown, unknown] => [
      name,
      intake[name as keyof typeof inputs],
      value,
    ]),
  ];
  return pairs.filter(([, a, b]) => !isEqual(a, b)).map(([name]) => `${name}: not those of ${earlier.id}`);
}

/** The microbatch moves no result. */
function calibrationOf({ spec }: Manifest): object {
  const { microbatch: _microbatch, ...calibration } = spec.calibration;
  return calibration;
}

/** Output errors are measured anew for each job. */
function evaluationOf({ spec }: Manifest): object | null {
  if (spec.evaluation === undefined) return null;
  const { outputError: _outputError, ...evaluation } = spec.evaluation;
  return evaluation;
}

/** Both were made by the same code, or came through JSON: keys are in the same order, or the work is done again. */
function isEqual(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}

/** Before a job that has succeeded forgets what it was made of: what a later one may take over, where that was asked for. */
export function keepWork(t: Transition, jobId: string): void {
  const job = t.editJob(jobId);
  const { intake, digests, evaluation, layers, reuse } = job;
  if (job.isReusable !== true || intake === null) return;
  const { sourceDirectory, model, shards, auxiliaryFiles, calibrationFiles, evaluationFiles, givenTokens } = intake;
  job.kept = {
    atMs: t.nowMs,
    inputs: { sourceDirectory, model, shards, auxiliaryFiles, calibrationFiles, evaluationFiles, givenTokens },
    digests,
    evaluation: evaluation.flatMap((text) =>
      text === null ? [] : [{ ...text, likelihoods: { source: text.likelihoods.source, committed: {} } }],
    ),
    sums: layers.map((layer) => layer.statisticsFile),
    ...(keepsHessians(job) ? { hessians: layers.map((_, layer) => keptHessians(job, layer)) } : {}),
  };
  if (reuse !== undefined) letGo(t, reuse.job);
  const keeping = Object.values(t.state.jobs).filter((each) => each.kept !== undefined);
  keeping.sort((a, b) => (b.kept?.atMs ?? 0) - (a.kept?.atMs ?? 0));
  for (const { id } of keeping.slice(KEPT_MAX)) letGo(t, id);
}

function keptHessians(job: JobState, layer: number): KeptHessians | null {
  const parts = job.layers[layer]?.hessians ?? [];
  return parts.length === 0 ? null : { statistics: [...prunedStatistics(job, layer)], parts };
}

/**
 * A coordinator may have died between the success of a job and the end of removing what the one before it kept: that is
 * asked for again.
 */
export function dropLeftovers(t: Transition): void {
  for (const { id, isReusable, phase, kept } of Object.values(t.state.jobs))
    if (isReusable === true && phase === 'Succeeded' && kept === undefined) t.command({ kind: 'dropKept', job: id });
}

function letGo(t: Transition, jobId: string): void {
  if (keptOf(t.state, jobId) === null) return;
  delete t.editJob(jobId).kept;
  t.command({ kind: 'dropKept', job: jobId });
}
