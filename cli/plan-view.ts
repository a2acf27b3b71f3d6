/** What a plan says to its reader: sizes, sparsity, and what memory and disk it asks for. Pure. */

import type { JobIntake, Plan } from '../coordinator/core/state.ts';
import type { PlanPreview } from '../coordinator/effects/preview-plan.ts';
import type { LinearChoice } from '../shared/manifest/select-linears.ts';
import { DTYPE_SIZE_BYTES } from '../shared/safetensors/dtype.ts';
import { renderFields, renderTable } from './render/table.ts';
import { showBytes, showCount, showShare } from './render/units.ts';

const FLOAT32_BYTES = 4;
/** A layer as it is mapped, as the engine packs it, and as the engine computes with it. */
const LAYER_COPIES = 3;
/** Node, ONNX Runtime and the kernels, before any weight. */
const WORKER_BASE_BYTES = 500_000_000;

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
  readonly stages: Plan['stages'];
  readonly workers: number;
  readonly microbatch: number;
  readonly samples: number | null;
  readonly sequenceLength: number | null;
  readonly pruned: readonly ChoiceSummary[];
  readonly prunedTensors: number;
  readonly outputShards: Plan['outputShards'];
  readonly outputBytes: number;
  readonly workerMemoryBytes: number;
  readonly diskNeededBytes: number;
  readonly diskFreeBytes: number;
  readonly warnings: readonly string[];
}

export function planView(answer: PlanPreview): PlanView {
  const { plan, intake, workers, freeBytes } = answer;
  const { model, layers } = intake;
  const hiddenBytes = (plan.samples ?? 0) * (plan.sequenceLength ?? 0) * model.hiddenSize * FLOAT32_BYTES;
  const outputBytes = sum(plan.outputShards, (shard) => shard.sizeBytes);
  const stagedBytes = sum(layers, (layer) => sum(layer.tensors, (tensor) => tensor.sizeBytes));
  const largestLayer = Math.max(
    ...layers.map((layer) => sum(layer.tensors, (tensor) => tensor.sizeBytes / DTYPE_SIZE_BYTES[tensor.dtype])),
  );
  // Committed layers stay until the shards made of them are in place, hidden states at the boundaries of stages too.
  const diskNeededBytes = outputBytes + stagedBytes + (plan.stages.length - 1) * hiddenBytes;
  const pruned = summarizeChoices(intake);
  return {
    source: intake.sourceDirectory,
    destination: intake.outputDirectory,
    architecture: model.architecture,
    layers: layers.length,
    hiddenSize: model.hiddenSize,
    stages: plan.stages,
    workers: workers.length,
    microbatch: Math.min(plan.microbatch, plan.samples ?? plan.microbatch),
    samples: plan.samples,
    sequenceLength: plan.sequenceLength,
    pruned,
    prunedTensors: sum(pruned, (choice) => (choice.choice === KEPT ? 0 : choice.tensors)),
    outputShards: plan.outputShards,
    outputBytes,
    workerMemoryBytes: LAYER_COPIES * largestLayer * FLOAT32_BYTES + hiddenBytes + WORKER_BASE_BYTES,
    diskNeededBytes,
    diskFreeBytes: freeBytes,
    warnings: [...intake.warnings, ...planWarnings(answer, diskNeededBytes)],
  };
}

export function renderPlan(view: PlanView): string {
  const calibration =
    view.samples === null || view.sequenceLength === null
      ? 'known once the token ids are read (memory and disk are without hidden states)'
      : `${view.samples} samples of ${view.sequenceLength} tokens, ${view.microbatch} in one forward run`;
  const fields = renderFields([
    ['source', view.source],
    ['destination', view.destination],
    ['model', `${view.architecture}, ${view.layers} layers, hidden size ${view.hiddenSize}`],
    ['calibration', calibration],
    ['stages', view.stages.map((stage) => `${stage.firstLayer}-${stage.firstLayer + stage.layerCount - 1}`).join(', ')],
    ['workers', String(view.workers)],
    [
      'output',
      `${showBytes(view.outputBytes)} in ${view.outputShards.length} ${view.outputShards.length === 1 ? 'shard' : 'shards'}`,
    ],
    ['memory', `about ${showBytes(view.workerMemoryBytes)} a worker`],
    ['disk', `at most ${showBytes(view.diskNeededBytes)} at the destination; ${showBytes(view.diskFreeBytes)} free`],
    ...view.warnings.map((warning) => ['warning', warning] as const),
  ]);
  const choices = renderTable<ChoiceSummary>(
    [
      { title: 'SPARSITY', value: (row) => row.choice },
      { title: 'TENSORS', value: (row) => String(row.tensors), align: 'right' },
      { title: 'WEIGHTS', value: (row) => showCount(row.weights), align: 'right' },
    ],
    view.pruned,
  );
  return `${fields}\n\n${choices}`;
}

const KEPT = 'kept';

function showChoice(choice: LinearChoice): string {
  switch (choice.kind) {
    case 'keepAll':
      return KEPT;
    case 'unstructured':
      return `${showShare(choice.sparsity)} of a row`;
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

function planWarnings({ plan, workers, freeBytes }: PlanPreview, diskNeededBytes: number): string[] {
  const warnings: string[] = [];
  if (freeBytes < diskNeededBytes) {
    warnings.push(
      `the destination has ${showBytes(freeBytes)} free, and at most ${showBytes(diskNeededBytes)} are needed`,
    );
  }
  if (workers.length === 0) warnings.push('no worker is attached: the job would wait for one');
  else if (plan.stages.length < workers.length) {
    warnings.push(`${plan.stages.length} stages keep ${plan.stages.length} of ${workers.length} workers busy`);
  }
  return warnings;
}

function sum<Item>(items: readonly Item[], value: (item: Item) => number): number {
  return items.reduce((total, item) => total + value(item), 0);
}
