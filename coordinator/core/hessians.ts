/**
 * Hessians, for the methods that need them: after a layer's statistics are added up it is `correlating`: passes go over all
 * of its microbatches once more, and each brings one file, the products of its inputs' columns, normalised by the
 * statistics, in integers (worker/methods/sparsegpt/column-products.ts). Files that cover every microbatch once make a
 * layer `ready`, whoever made them of which microbatches: their sum is the same to the bit.
 *
 * With dense propagation they depend on the calibration alone: a job that is asked to keeps them beyond its commits, within
 * bounds, for a later one (reuse.ts). Pure.
 */
import { updatesWeights } from '../../shared/manifest/method-options.ts';
import { difference, intersection, isEmpty, type MicrobatchSet, union } from '../../shared/microbatch-set.ts';
import { budgetedLinears, choiceIn, isSurveyed, keepsAll } from './choices.ts';
import { type JobState, jobOf, type LayerState, type StagedFile } from './state.ts';
import type { PassSpec } from './task.ts';
import type { Transition } from './transition.ts';

/**
 * Of the source's bytes: what is kept for later jobs is at most so many times as much. One part a layer is about as large as
 * the layer in 16 bits; there are as many parts as workers that measured it, or some more.
 */
const KEPT_OF_SOURCE_MAX = 4;

/** While a job is surveyed nothing is measured but its statistics. */
export function needsHessian(job: JobState): boolean {
  return updatesWeights(job.manifest.spec.pruning) && isSurveyed(job);
}

/** Whether some microbatch is yet to be measured at a layer, now or when its statistics are added up. */
export function isBeingMeasured(job: JobState, { status }: LayerState): boolean {
  return status === 'pending' || status === 'correlating' || (status === 'reducing' && needsHessian(job));
}

/** Microbatches whose products are there. */
export function correlatedIn(layer: LayerState): MicrobatchSet {
  return union(...(layer.hessians ?? []).map(({ microbatches }) => microbatches));
}

/** That are to be read when the layer is pruned. A job may have others, which it only keeps. */
export function hessianFiles(job: JobState, layer: number): StagedFile[] {
  return needsHessian(job) ? filesOf(job.layers[layer]) : [];
}

function filesOf(layer: LayerState | undefined): StagedFile[] {
  return (layer?.hessians ?? []).map(({ file }) => file);
}

function sizeOf(files: readonly StagedFile[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}

/** Whether they are kept for a later job: with pruned propagation, what a layer sees depends on what was pruned before it. */
export function keepsHessians({ keepsHessians: isAsked, manifest }: JobState): boolean {
  return isAsked === true && manifest.spec.pruning.propagate === 'dense';
}

/** Statistics of the inputs of those linears of a layer that lose weights: others need no Hessian. */
export function prunedStatistics(job: JobState, layer: number): Set<string> {
  const linears = job.intake?.layers[layer]?.linears ?? [];
  return new Set(
    linears.flatMap((linear) => (choiceIn(job, layer, linear).kind === 'keepAll' ? [] : [linear.statistic])),
  );
}

/** What follows when a layer's statistics are added up, or when a part of its Hessians came or was lost. */
export function measuredStatus(
  job: JobState,
  index: number,
  all: MicrobatchSet,
): 'surveying' | 'surveyed' | 'correlating' | 'ready' {
  const layer = job.layers[index];
  if (layer === undefined || keepsAll(job, index)) return 'ready';
  if (!isSurveyed(job)) return budgetedLinears(job, index).length > 0 ? 'surveying' : 'surveyed';
  return needsHessian(job) && !isEmpty(difference(all, correlatedIn(layer))) ? 'correlating' : 'ready';
}

/** Takes the file of a pass; one of microbatches that are there already, or of a layer that is done, goes. */
export function addHessian(
  t: Transition,
  jobId: string,
  spec: PassSpec,
  done: MicrobatchSet,
  all: MicrobatchSet,
  file: StagedFile,
): void {
  const job = t.editJob(jobId);
  const layer = job.layers[spec.layer];
  if (layer === undefined) return;
  const isWanted = layer.status !== 'ready' && layer.status !== 'committed';
  if (!isWanted || isEmpty(done) || !isEmpty(intersection(done, correlatedIn(layer)))) {
    return t.command({ kind: 'removeStaged', job: jobId, names: [file.name] });
  }
  layer.hessians = [...(layer.hessians ?? []), { microbatches: done, file }];
  if (layer.status !== 'correlating') return;
  layer.status = measuredStatus(job, spec.layer, all);
  if (layer.status === 'ready') tellCorrelated(t, job, spec.layer);
}

function tellCorrelated(t: Transition, job: JobState, layer: number): void {
  const files = hessianFiles(job, layer);
  t.tell(job.id, 'layer', 'correlated', { layer, files: files.length, bytes: sizeOf(files) });
}

/** A part is gone, or is not what was written: its microbatches are correlated again. */
export function forgetHessian(t: Transition, jobId: string, index: number, name: string): void {
  const known = jobOf(t.state, jobId)?.layers[index];
  if (known === undefined || !(known.hessians ?? []).some(({ file }) => file.name === name)) return;
  const layer = t.editJob(jobId).layers[index] as LayerState;
  layer.hessians = (layer.hessians ?? []).filter(({ file }) => file.name !== name);
  if (layer.status === 'ready') layer.status = 'correlating';
  t.command({ kind: 'removeStaged', job: jobId, names: [name] });
}

/** The layer is committed: this job reads its Hessians no more. They stay where a later one wants them, as long as they fit. */
export function releaseHessians(t: Transition, jobId: string, index: number): void {
  const job = t.editJob(jobId);
  const committed = job.layers.filter(({ status }) => status === 'committed');
  const sourceBytes = (job.intake?.shards ?? []).reduce((sum, shard) => sum + shard.sizeBytes, 0);
  if (keepsHessians(job) && sizeOf(committed.flatMap(filesOf)) <= KEPT_OF_SOURCE_MAX * sourceBytes) return;
  dropHessians(t, job, index);
}

function dropHessians(t: Transition, job: JobState, index: number): void {
  const layer = job.layers[index];
  const names = filesOf(layer).map(({ name }) => name);
  if (layer === undefined || names.length === 0) return;
  layer.hessians = [];
  t.command({ kind: 'removeStaged', job: job.id, names });
}

/**
 * A disk is full: what is there for later jobs only goes first, under all of its names: in staging, and where this job, if
 * it was about to be published, and the earlier one keep it.
 */
export function giveUpHessians(t: Transition, jobId: string): void {
  const job = t.editJob(jobId);
  if (job.keepsHessians === true) t.command({ kind: 'dropKept', job: jobId, only: 'hessians' });
  delete job.keepsHessians;
  for (const [index, { status }] of job.layers.entries())
    if (status === 'committed' || !needsHessian(job)) dropHessians(t, job, index);
  const earlier = job.reuse === undefined ? undefined : jobOf(t.state, job.reuse.job);
  if (earlier?.kept?.hessians === undefined) return;
  const { hessians: _gone, ...kept } = earlier.kept;
  t.editJob(earlier.id).kept = kept;
  t.command({ kind: 'dropKept', job: earlier.id, only: 'hessians' });
}
