/** `secateur.json`: what was done to which bytes, with what, and what came of it. docs/provenance.md describes it. */
import { sparsityScope, updatesWeights } from '../../shared/manifest/method-options.ts';
import { choiceIn } from '../core/choices.ts';
import { perplexities, relativeErrors } from '../core/evaluation.ts';
import { measurementOf } from '../core/measurement.ts';
import { type AssembledShard, countPruned, type JobState, own, type Plan } from '../core/state.ts';

const PROVENANCE_FORMAT = 'secateur.provenance/v1';

export interface StatisticSummary {
  readonly layer: number;
  readonly statistic: string;
  readonly columns: number;
  readonly min: number;
  readonly mean: number;
  readonly max: number;
  /** Of the sum of all columns' sums of squares, what the largest hundredth of the columns has; 0 where all are zero. */
  readonly topShare: number;
}

export interface ProvenanceParts {
  readonly version: string;
  readonly nodeVersion: string;
  readonly publishedMs: number;
  readonly outputs: readonly AssembledShard[];
  readonly auxiliaryInputs: readonly AssembledShard[];
  readonly calibrationInputs: readonly AssembledShard[];
  readonly statistics: readonly StatisticSummary[];
  /** Layers whose sums could not be read any more when the checkpoint was published. */
  readonly statisticsMissing: readonly number[];
}

export function buildProvenance(job: JobState, parts: ProvenanceParts): object {
  const errors = relativeErrors(job);
  const updated = updatesWeights(job.manifest.spec.pruning) ? { updated: true } : {};
  return {
    format: PROVENANCE_FORMAT,
    job: { id: job.id, namespace: job.namespace, name: job.name },
    versions: { secateur: parts.version, node: parts.nodeVersion },
    manifest: job.manifest,
    model: job.intake?.model,
    calibration: calibrationOf(job),
    ...(job.reuse?.status === 'taken' ? { reused: { job: job.reuse.job } } : {}),
    plan: job.plan === null ? null : placementOf(job.plan),
    prediction: job.plan?.prediction ?? null,
    measurement: measurementOf(job, parts.publishedMs),
    inputs: {
      shards: (job.intake?.shards ?? []).map(({ file, sizeBytes }) => ({
        file,
        sizeBytes,
        sha256: job.digests[file]?.sha256,
      })),
      files: parts.auxiliaryInputs,
      calibration: parts.calibrationInputs,
    },
    outputs: parts.outputs,
    totals: totals(job),
    perplexity: perplexities(job),
    layers: job.layers.map((layer, index) => ({
      layer: index,
      worker: layer.worker,
      sha256: layer.file?.sha256,
      committed: new Date(layer.committedMs).toISOString(),
      pruneMs: layer.pruneMs,
      ...budgetOf(job, index),
      ...(errors[index] === undefined ? {} : { outputError: errors[index].relative }),
      tensors: Object.fromEntries(
        layer.tensors
          .filter((tensor) => tensor.pruned)
          .map(({ name, elements, zeros }) => {
            const outputError = errors[index]?.tensors[name];
            const error = outputError === undefined ? {} : { outputError };
            return [name, { elements, zeros, choice: choiceOf(job, index, name), ...updated, ...error }];
          }),
      ),
    })),
    statistics: parts.statistics,
    ...(parts.statisticsMissing.length === 0 ? {} : { statisticsMissing: parts.statisticsMissing }),
    workers: job.workersSeen,
    timeline: timelineOf(job),
    times: {
      submitted: new Date(job.submittedMs).toISOString(),
      started: job.startedMs === null ? null : new Date(job.startedMs).toISOString(),
      published: new Date(parts.publishedMs).toISOString(),
      elapsedMs: parts.publishedMs - (job.startedMs ?? job.submittedMs),
      resumes: job.resumes,
    },
  };
}

function placementOf(plan: Plan): object {
  const { stages, replicas, replicasMax, wave, snapshotInterval, microbatch } = plan;
  return { stages, replicas, replicasMax, wave, snapshotInterval, microbatch };
}

/** Times since the job's start: of every worker that was given a task, in the order in which they were first. */
function timelineOf(job: JobState): object[] {
  const startMs = job.startedMs ?? job.submittedMs;
  return Object.keys(job.workersSeen).map((worker) => ({
    worker,
    tokensPerSecond: own(job.rates, worker) ?? null,
    spans: (own(job.timeline ?? {}, worker) ?? []).map((span) => ({
      ...span,
      fromMs: span.fromMs - startMs,
      toMs: span.toMs - startMs,
    })),
  }));
}

/** An unstructured sparsity says what it holds for, where that is not each row. */
function choiceOf(job: JobState, layer: number, tensor: string): object | undefined {
  const linear = job.intake?.layers[layer]?.linears.find((each) => each.tensor === tensor);
  const choice = linear === undefined ? undefined : choiceIn(job, layer, linear);
  const scope = sparsityScope(job.manifest.spec.pruning);
  return choice?.kind === 'unstructured' && scope !== 'row' ? { ...choice, scope } : choice;
}

function budgetOf({ budgets }: JobState, layer: number): object {
  const budget = budgets?.[layer];
  return budget ? { budget: { outlierRatio: budget.outlierRatio, sparsity: budget.sparsity } } : {};
}

function totals(job: JobState): object {
  const { tensors, weights, zeros } = countPruned(job.layers.flatMap((layer) => layer.tensors));
  return { prunedTensors: tensors, weights, zeros, sparsity: weights === 0 ? 0 : zeros / weights };
}

function calibrationOf(job: JobState): object | null {
  if (job.calibration === null) return null;
  const { inputDigests, samples, sequenceLength, file } = job.calibration;
  return { inputDigests, samples, sequenceLength, sha256: file.sha256, sizeBytes: file.sizeBytes };
}
