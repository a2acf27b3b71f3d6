/**
 * Hessians, for the methods that need them: after a layer's statistics are added up it is `correlating`: passes go over all
 * of its microbatches once more, and each brings one file, the products of its inputs' columns, normalised by the
 * statistics, in integers (worker/methods/sparsegpt/column-products.ts). Files that cover every microbatch once make a
 * layer `ready`, whoever made them of which microbatches: their sum is the same to the bit. Pure.
 */
import { updatesWeights } from '../../shared/manifest/method-options.ts';
import { difference, intersection, isEmpty, type MicrobatchSet, union } from '../../shared/microbatch-set.ts';
import { budgetedLinears, choiceIn, isSurveyed, keepsAll } from './choices.ts';
import { type JobState, jobOf, type LayerState, type StagedFile } from './state.ts';
import type { PassSpec } from './task.ts';
import type { Transition } from './transition.ts';

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

export function hessianFiles(job: JobState, layer: number): StagedFile[] {
  return (job.layers[layer]?.hessians ?? []).map(({ file }) => file);
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
  const bytes = files.reduce((sum, file) => sum + file.sizeBytes, 0);
  t.tell(job.id, 'layer', 'correlated', { layer, files: files.length, bytes });
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

/** The layer is committed: nobody reads its Hessians again. */
export function dropHessians(t: Transition, jobId: string, index: number): void {
  const layer = t.editJob(jobId).layers[index];
  const names = (layer?.hessians ?? []).map(({ file }) => file.name);
  if (layer === undefined || names.length === 0) return;
  layer.hessians = [];
  t.command({ kind: 'removeStaged', job: jobId, names });
}
