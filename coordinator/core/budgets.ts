/**
 * `layerwise: owl`: how much of each layer goes is decided before anything is pruned. A dense pass over the model gives
 * every layer's statistics; workers count the outliers of each layer; from all counts the layers' sparsities follow
 * (owl.ts). While that goes on the job is *surveyed*: microbatches go through the layers as with `propagate: dense`.
 * Then, with `propagate: dense`, layers are pruned by the statistics that are there; with `pruned` the job begins again at
 * its token ids. Pure.
 */
import { sparsityScope } from '../../shared/manifest/method-options.ts';
import type { MicrobatchSet } from '../../shared/microbatch-set.ts';
import { budgetedLinears, isSurveyed, keepsAll } from './choices.ts';
import type { TaskOutcome } from './events.ts';
import { measuredStatus } from './hessians.ts';
import { emptyLayer, releaseWorkers } from './lifecycle.ts';
import { allMicrobatches, isPropagatedPruned } from './lineage.ts';
import { layerSparsities, prunedPerRow, shareOf } from './owl.ts';
import { dropAllSnapshots } from './snapshots.ts';
import { activeJob, type JobState, type LayerBudget } from './state.ts';
import type { Transition } from './transition.ts';

type CountedOutliers = Extract<TaskOutcome, { kind: 'countOutliers' }>;

export function outliersCounted(
  t: Transition,
  jobId: string,
  layer: number,
  worker: string,
  { outliers, weights, computeMs }: CountedOutliers,
): void {
  const state = t.editJob(jobId).layers[layer];
  if (state?.status !== 'surveying') return;
  Object.assign(state, { status: 'surveyed', outliers: { outliers, weights, computeMs } });
  t.tell(jobId, 'layer', 'surveyed', { layer, worker, outliers, weights, computeMs });
}

/** Once every layer is surveyed. Derived in every step, whatever came last. */
export function allocateBudgets(t: Transition): void {
  const active = activeJob(t.state);
  if (active?.phase !== 'Pruning' || active.intake === null || isSurveyed(active)) return;
  const isKnown = active.layers.every(
    ({ status }) => status === 'surveyed' || status === 'ready' || status === 'committed',
  );
  if (!isKnown) return;
  const job = t.editJob(active.id);
  const budgets = budgetsOf(job);
  job.budgets = budgets;
  const { layerwise = '', sparsity = 0 } = job.manifest.spec.pruning;
  t.tell(job.id, 'job', 'budgeted', {
    layerwise,
    sparsity,
    layers: budgets.flatMap((budget, layer) =>
      budget === null ? [] : [{ layer, outlierRatio: budget.outlierRatio, sparsity: budget.sparsity }],
    ),
  });
  if (isPropagatedPruned(job)) beginPruning(t, job.id);
  else for (const [index] of job.layers.entries()) enterPruning(job, index, allMicrobatches(job));
}

/** Of each layer; null where none of its linears has one. What is not pruned row by row is rounded by its method. */
function budgetsOf(job: JobState): (LayerBudget | null)[] {
  const { pruning } = job.manifest.spec;
  const { sparsity = 0, deviation = 0 } = pruning;
  const surveyed = job.layers.flatMap(({ outliers }, layer) =>
    outliers === undefined || outliers.weights === 0 ? [] : [{ layer, ...outliers }],
  );
  const ratios = surveyed.map(({ outliers, weights }) => ({ outlierRatio: outliers / weights, weights }));
  const sparsities = layerSparsities(ratios, sparsity, deviation);
  const linears = surveyed.flatMap(({ layer }, at) =>
    budgetedLinears(job, layer).map((linear) => ({ ...linear, layer: at })),
  );
  const counts = sparsityScope(pruning) === 'row' ? prunedPerRow(linears, sparsities, sparsity) : null;
  return job.layers.map((_, layer) => {
    const at = surveyed.findIndex((each) => each.layer === layer);
    if (at < 0) return null;
    const shares = linears.flatMap(({ tensor, inFeatures, ...linear }, index) => {
      const share = counts === null ? sparsities[at] : shareOf(counts[index] as number, inFeatures);
      return linear.layer === at ? [[tensor, share as number] as const] : [];
    });
    return {
      outlierRatio: ratios[at]?.outlierRatio ?? 0,
      sparsity: sparsities[at] as number,
      sparsities: Object.fromEntries(shares),
    };
  });
}

/** propagate: dense. The sums stay. */
function enterPruning(job: JobState, index: number, all: MicrobatchSet): void {
  const layer = job.layers[index];
  if (layer?.status !== 'surveyed') return;
  // Second passes over the microbatches are no work done again.
  Object.assign(layer, { status: measuredStatus(job, index, all), forwarded: [] });
}

/** propagate: pruned. Hidden states behind dense layers are of no use: whoever holds some, or is making some, lets go. */
function beginPruning(t: Transition, jobId: string): void {
  const job = t.editJob(jobId);
  const making = Object.values(job.leases).filter(({ spec }) => spec.kind === 'pass' || spec.kind === 'handOver');
  releaseWorkers(t, jobId, new Set([...Object.keys(job.held), ...making.map(({ worker }) => worker)]));
  dropAllSnapshots(t, jobId);
  for (const [index, layer] of job.layers.entries()) {
    if (layer.status === 'surveyed') Object.assign(layer, emptyLayer(keepsAll(job, index)));
  }
}
