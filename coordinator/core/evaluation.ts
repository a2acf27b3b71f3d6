/**
 * Perplexity of the model as it came and as it was pruned, on texts that the manifest names: windows of a text go through
 * the whole model on any worker, so they are shared among all and given out again when one is lost. Pure.
 *
 * perplexity = exp(mean over windows of the mean negative log likelihood of a window's tokens behind its first)
 * Source: locuslab/wanda at 8e8fc87, lib/eval.py.
 */
import type { Manifest } from '../../shared/manifest/schema.ts';
import {
  difference,
  firstMicrobatches,
  isEmpty,
  lowest,
  type MicrobatchSet,
  membersOf,
  setOfMembers,
  union,
} from '../../shared/microbatch-set.ts';
import type { TaskOutcome } from './events.ts';
import type { EvaluatedText, JobFailure, JobState, OutputErrors, WorkerState } from './state.ts';
import type { EvaluateSpec, MeasureErrorSpec } from './task.ts';
import type { Transition } from './transition.ts';

/** Of a worker's memory, for the hidden states of one task's windows; and never more than the bytes. */
const TASK_MEMORY_SHARE = 0.25;
const TASK_HIDDEN_BYTES_MAX = 2 * 1024 ** 3;

/** Four sequences of LLaMA's: the error of a linear changes by a few percent with more. */
const ERROR_TOKENS = 8192;

type OutcomeOf<K extends TaskOutcome['kind']> = Extract<TaskOutcome, { kind: K }>;

export interface TextPerplexity {
  /** Location of the text, as the manifest has it. */
  readonly text: string;
  readonly sha256: string;
  readonly windows: number;
  readonly sequenceLength: number;
  readonly dense: number;
  readonly pruned: number;
  /** pruned / dense */
  readonly ratio: number;
}

/** Locations of the texts, or of the files of token ids, in the order of the manifest. */
export function evaluationLocations(manifest: Manifest): readonly string[] {
  const { evaluation } = manifest.spec;
  if (evaluation === undefined) return [];
  return 'text' in evaluation ? evaluation.text : evaluation.tokens;
}

/** Texts that are not cut into windows yet. */
export function unpreparedTexts(job: JobState): number[] {
  return evaluationLocations(job.manifest).flatMap((_, text) => (job.evaluation[text] ? [] : [text]));
}

/** Texts that are too short, or not there, are to be found before anything is computed. */
export function isPrepared(job: JobState): boolean {
  return job.calibration !== null && unpreparedTexts(job).length === 0;
}

export function isEvaluated(job: JobState): boolean {
  return (
    unpreparedTexts(job).length === 0 &&
    isEmpty(unmeasuredSamples(job)) &&
    job.evaluation.every(
      (text) => isEmpty(missingWindows(text, 'source')) && isEmpty(missingWindows(text, 'committed')),
    )
  );
}

function missingWindows(text: EvaluatedText | null, weights: EvaluateSpec['weights']): MicrobatchSet {
  if (text === null) return [];
  const known = text.likelihoods[weights];
  return difference(firstMicrobatches(text.windows), setOfMembers(Object.keys(known).map(Number)));
}

/**
 * Windows for idle workers: of each text an equal share for each of the `usable` ones, as far as a worker's memory goes.
 * The dense model of a text comes first, then the pruned one.
 */
export function evaluateTasks(
  job: JobState,
  idle: readonly WorkerState[],
  usable: number,
): { readonly worker: string; readonly spec: EvaluateSpec }[] {
  const found: { worker: string; spec: EvaluateSpec }[] = [];
  const waiting = [...idle];
  for (const [index, text] of job.evaluation.entries()) {
    if (text === null) continue;
    for (const weights of ['source', 'committed'] as const) {
      const leased = leasedWindows(
        job,
        (spec) => spec.kind === 'evaluate' && spec.text === index && spec.weights === weights,
      );
      let missing = difference(missingWindows(text, weights), leased);
      while (!isEmpty(missing)) {
        const worker = waiting.shift();
        if (worker === undefined) return found;
        const count = Math.min(Math.ceil(text.windows / Math.max(1, usable)), fittingWindows(job, text, worker));
        const windows = lowest(missing, count);
        missing = difference(missing, windows);
        found.push({ worker: worker.id, spec: { kind: 'evaluate', text: index, weights, windows } });
      }
    }
  }
  return found;
}

/** Calibration samples that output errors are measured on: the first so many, enough for a figure and no more. */
function errorSamples(job: JobState): number {
  if (job.manifest.spec.evaluation?.outputError !== true || job.calibration === null) return 0;
  const { samples, sequenceLength } = job.calibration;
  return Math.min(samples, Math.max(1, Math.floor(ERROR_TOKENS / sequenceLength)));
}

function unmeasuredSamples(job: JobState): MicrobatchSet {
  return difference(firstMicrobatches(errorSamples(job)), setOfMembers(Object.keys(job.outputErrors).map(Number)));
}

/** An equal share of the samples for each of the usable workers. */
export function measureErrorTasks(
  job: JobState,
  idle: readonly WorkerState[],
  usable: number,
): { readonly worker: string; readonly spec: MeasureErrorSpec }[] {
  // The samples are prepared again first.
  if (job.calibration?.isLost === true) return [];
  let missing = difference(
    unmeasuredSamples(job),
    leasedWindows(job, ({ kind }) => kind === 'measureError'),
  );
  const share = Math.ceil(errorSamples(job) / Math.max(1, usable));
  return idle.flatMap(({ id }) => {
    const windows = lowest(missing, share);
    missing = difference(missing, windows);
    return isEmpty(windows) ? [] : [{ worker: id, spec: { kind: 'measureError' as const, windows } }];
  });
}

export function errorsMeasured(t: Transition, jobId: string, outcome: OutcomeOf<'measureError'>): void {
  const job = t.editJob(jobId);
  const added = [...membersOf(outcome.done)].flatMap((sample, index) => {
    const errors = outcome.samples[index];
    return errors === undefined ? [] : [[sample, errors] as const];
  });
  job.outputErrors = { ...job.outputErrors, ...Object.fromEntries(added) };
  addEvaluateMs(job, outcome.computeMs);
  if (!isEmpty(unmeasuredSamples(job))) return;
  const layers = relativeErrors(job).map(({ relative }, layer) => ({ layer, relative }));
  t.tell(jobId, 'evaluation', 'compared', { samples: errorSamples(job), layers });
}

/** Relative squared errors of a layer's linears: Σ (W x - W' x)² / Σ (W x)², 0 where the output is 0 throughout. */
export interface LayerErrors {
  /** Of the sums over its linears. */
  readonly relative: number;
  /** By tensor. */
  readonly tensors: { readonly [tensor: string]: number };
}

/** Of every layer, once all samples are measured; none where they were not to be. Added up in the order of the samples. */
export function relativeErrors(job: JobState): LayerErrors[] {
  const samples = Array.from({ length: errorSamples(job) }, (_, sample) => job.outputErrors[sample]);
  if (samples.length === 0 || samples.includes(undefined)) return [];
  const total = (of: keyof OutputErrors, index: number): number =>
    samples.reduce((sum, sample) => sum + (sample?.[of][index] ?? 0), 0);
  let index = 0;
  return (job.intake?.layers ?? []).map(({ linears }) => {
    const sums = linears.map(({ tensor }) => {
      const sum = { tensor, error: total('error', index), output: total('output', index) };
      index += 1;
      return sum;
    });
    const all = (of: keyof OutputErrors): number => sums.reduce((sum, each) => sum + each[of], 0);
    const share = (error: number, output: number): number => (output === 0 ? 0 : error / output);
    return {
      relative: share(all('error'), all('output')),
      tensors: Object.fromEntries(sums.map(({ tensor, error, output }) => [tensor, share(error, output)])),
    };
  });
}

/** Windows whose hidden states a worker can hold. */
function fittingWindows(job: JobState, text: EvaluatedText, { capabilities }: WorkerState): number {
  const bytes = text.sequenceLength * (job.intake?.model.hiddenSize ?? 1) * Float32Array.BYTES_PER_ELEMENT;
  const memory = Math.min(capabilities.memoryBytes * TASK_MEMORY_SHARE, TASK_HIDDEN_BYTES_MAX);
  return Math.max(1, Math.floor(memory / bytes));
}

/** Windows of the tasks that workers have now, of those that are meant. */
function leasedWindows(job: JobState, isMeant: (spec: EvaluateSpec | MeasureErrorSpec) => boolean): MicrobatchSet {
  const sets = Object.values(job.leases).map(({ spec }) =>
    (spec.kind === 'evaluate' || spec.kind === 'measureError') && isMeant(spec) ? spec.windows : [],
  );
  return union(...sets);
}

/** Time of perplexity or output errors, beside what the job has spent. */
function addEvaluateMs(job: JobState, computeMs: number): void {
  job.spent = { ...job.spent, evaluateMs: job.spent.evaluateMs + computeMs };
}

export function textPrepared(
  t: Transition,
  jobId: string,
  text: number,
  outcome: OutcomeOf<'prepareEvaluation'>,
): void {
  const job = t.editJob(jobId);
  const { ids, inputDigest, windows, sequenceLength } = outcome;
  job.evaluation[text] = {
    ids,
    inputDigest,
    windows,
    sequenceLength,
    atMs: t.nowMs,
    likelihoods: { source: {}, committed: {} },
  };
  job.workTotal += 2 * tokensThrough(job, windows, sequenceLength);
  t.tell(jobId, 'evaluation', 'prepared', {
    text: evaluationLocations(job.manifest)[text] ?? '',
    windows,
    sequenceLength,
  });
}

/** Tokens of windows through every layer of the model, and its head, which counts as one more. */
export function tokensThrough({ intake }: JobState, windows: number, sequenceLength: number): number {
  return windows * sequenceLength * ((intake?.layers.length ?? 0) + 1);
}

/** Its windows are gone: with them goes what was measured of them. */
export function forgetText(t: Transition, jobId: string, index: number): void {
  const job = t.editJob(jobId);
  const text = job.evaluation[index];
  if (!text) return;
  job.workTotal -= 2 * tokensThrough(job, text.windows, text.sequenceLength);
  job.evaluation[index] = null;
}

export function windowsEvaluated(
  t: Transition,
  jobId: string,
  spec: EvaluateSpec,
  outcome: OutcomeOf<'evaluate'>,
): void {
  const job = t.editJob(jobId);
  const text = job.evaluation[spec.text];
  if (!text) return;
  const known = text.likelihoods[spec.weights];
  const added = Object.fromEntries(
    [...membersOf(outcome.done)].map((window, index) => [window, outcome.nll[index] ?? 0]),
  );
  const likelihoods = { ...text.likelihoods, [spec.weights]: { ...known, ...added } };
  const after = { ...text, likelihoods };
  job.evaluation[spec.text] = after;
  job.workDone += outcome.tokens;
  addEvaluateMs(job, outcome.computeMs);
  if (!isEmpty(missingWindows(after, spec.weights))) return;
  t.tell(jobId, 'evaluation', 'measured', {
    text: evaluationLocations(job.manifest)[spec.text] ?? '',
    model: spec.weights === 'source' ? 'dense' : 'pruned',
    perplexity: perplexityOf(after, spec.weights),
    windows: after.windows,
    sequenceLength: after.sequenceLength,
  });
}

/** Windows in their order, so that nobody's share of them can move a bit. */
export function perplexityOf(text: EvaluatedText, weights: EvaluateSpec['weights']): number {
  const { windows, sequenceLength } = text;
  let sum = 0;
  for (let window = 0; window < windows; window++) {
    sum += (text.likelihoods[weights][window] ?? 0) / (sequenceLength - 1);
  }
  return Math.exp(sum / windows);
}

/** Of every text, once all are measured. */
export function perplexities(job: JobState): TextPerplexity[] {
  const locations = evaluationLocations(job.manifest);
  return job.evaluation.flatMap((text, index) => {
    if (text === null) return [];
    const [dense, pruned] = [perplexityOf(text, 'source'), perplexityOf(text, 'committed')];
    const { windows, sequenceLength, inputDigest: sha256 } = text;
    return [{ text: locations[index] ?? '', sha256, windows, sequenceLength, dense, pruned, ratio: pruned / dense }];
  });
}

/** Why the job may not publish what it made; null where it may. */
export function gateFailure(job: JobState): JobFailure | null {
  const most = job.manifest.spec.qualityGate?.maxPerplexityRatio;
  if (most === undefined) return null;
  const failed = perplexities(job).filter(({ ratio }) => ratio > most);
  if (failed.length === 0) return null;
  const found = failed.map(
    ({ text, dense, pruned, ratio }) =>
      `${text}: ${dense.toPrecision(5)} before, ${pruned.toPrecision(5)} after, ${ratio.toPrecision(4)} times as high`,
  );
  return {
    code: 'QualityGateFailed',
    message: `the perplexity rose more than spec.qualityGate.maxPerplexityRatio allows (${most}): ${found.join('; ')}. Nothing was published. Prune less, or allow more and submit with another destination.`,
    details: { maxPerplexityRatio: most, texts: found },
  };
}
