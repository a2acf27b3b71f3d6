/** What a plan says to its reader: sizes, sparsity, placement, and what time, memory and disk it asks for. Pure. */

import type { Range, ShardMap } from '../coordinator/core/shard-map.ts';
import type { JobIntake, Plan } from '../coordinator/core/state.ts';
import type { PlanPreview, PreviewedPlacement, PreviewedWorker } from '../coordinator/effects/preview-plan.ts';
import type { LinearChoice } from '../shared/manifest/select-linears.ts';
import { showShare } from '../shared/units.ts';
import { planWarnings } from './plan-warnings.ts';

interface ChoiceSummary {
  readonly choice: string;
  readonly tensors: number;
  readonly weights: number;
}

export interface PlanView {
  readonly source: string;
  readonly destination: string;
  readonly architecture: string;
  readonly layers: number;
  readonly hiddenSize: number;
  readonly propagate: 'pruned' | 'dense';
  readonly samples: number | null;
  readonly sequenceLength: number | null;
  readonly microbatch: number;
  readonly microbatches: number | null;
  readonly stages: Plan['stages'];
  readonly replicas: number;
  readonly replicasMax: number | null;
  readonly wave: number | null;
  readonly snapshotInterval: number;
  readonly prediction: Plan['prediction'];
  /** Where the figures come from that the times are made of. */
  readonly figures: string;
  /** The chosen one first. */
  readonly alternatives: readonly PreviewedPlacement[];
  readonly shardMap: ShardMap | null;
  readonly workers: readonly PreviewedWorker[];
  readonly pruned: readonly ChoiceSummary[];
  readonly prunedTensors: number;
  readonly outputShards: Plan['outputShards'];
  readonly outputBytes: number;
  readonly diskNeededBytes: number;
  readonly diskFreeBytes: number;
  readonly warnings: readonly string[];
}

export function planView(preview: PlanPreview, figures: string): PlanView {
  const { plan, intake, workers, alternatives, shardMap, destination } = preview;
  const { model, layers } = intake;
  const outputBytes = sum(plan.outputShards, (shard) => shard.sizeBytes);
  const stagedBytes = sum(layers, (layer) => sum(layer.tensors, (tensor) => tensor.sizeBytes));
  const diskNeededBytes = alternatives[0]?.destinationBytes ?? outputBytes + stagedBytes;
  const pruned = summarizeChoices(intake);
  const microbatch = Math.min(plan.microbatch, plan.samples ?? plan.microbatch);
  const isMeasured = workers.some((worker) => worker.capabilities.computeFlops > 0);
  return {
    source: intake.sourceDirectory,
    destination: intake.outputDirectory,
    architecture: model.architecture,
    layers: layers.length,
    hiddenSize: model.hiddenSize,
    propagate: preview.propagate,
    samples: plan.samples,
    sequenceLength: plan.sequenceLength,
    microbatch,
    microbatches: plan.samples === null ? null : Math.ceil(plan.samples / microbatch),
    stages: plan.stages,
    replicas: plan.replicas,
    replicasMax: plan.replicasMax,
    wave: plan.wave,
    snapshotInterval: plan.snapshotInterval,
    prediction: plan.prediction,
    figures: isMeasured ? figures : 'assumed: nothing was measured',
    alternatives,
    shardMap,
    workers,
    pruned,
    prunedTensors: sum(pruned, (choice) => (choice.choice === KEPT ? 0 : choice.tensors)),
    outputShards: plan.outputShards,
    outputBytes,
    diskNeededBytes,
    diskFreeBytes: destination.freeBytes,
    warnings: [...intake.warnings, ...planWarnings(preview, diskNeededBytes)],
  };
}

const KEPT = 'kept';

function showChoice(choice: LinearChoice): string {
  switch (choice.kind) {
    case 'keepAll':
      return KEPT;
    case 'unstructured':
      return `${showShare(choice.sparsity)} of a row${choice.layerwise === true ? ' on average, by layer' : ''}`;
    case 'pattern':
      return `${choice.keep}:${choice.group}`;
  }
}

function summarizeChoices(intake: JobIntake): ChoiceSummary[] {
  const summaries = new Map<string, { choice: string; tensors: number; weights: number }>();
  for (const { choice, outFeatures, inFeatures } of intake.layers.flatMap((layer) => layer.linears)) {
    const name = showChoice(choice);
    const summary = summaries.get(name) ?? { choice: name, tensors: 0, weights: 0 };
    summary.tensors += 1;
    summary.weights += outFeatures * inFeatures;
    summaries.set(name, summary);
  }
  return [...summaries.values()].sort((a, b) => b.weights - a.weights);
}

/** `0-3`, `5`: both ends, as a person counts. */
export function showRange([first, end]: Range): string {
  return end === first + 1 ? String(first) : `${first}-${end - 1}`;
}

function sum<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
