/** How a job is laid out: its placement, its microbatch, the shards of its output. Pure functions of manifest, inputs, workers. */
import { isDiscarded, isPublished } from '../../shared/manifest/location.ts';
import { updatesWeights } from '../../shared/manifest/method-options.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { chooseComputeDtype } from '../../shared/onnx/compute-dtype.ts';
import { layerDeviceBytes } from '../../shared/onnx/device-memory.ts';
import { castsOnce } from '../../shared/onnx/weight-casts.ts';
import { fiveDigits } from '../../shared/storage/staging-names.ts';
import { choosePlacement, memoryOf, type PlacementChoice, planStages } from './choose-placement.ts';
import type { CostInputs } from './layer-times.ts';
import { samplesThatFit } from './placement-resources.ts';
import { pruneNsPerWeight } from './prune-times.ts';
import type {
  JobIntake,
  JobState,
  OutputShardPlan,
  Plan,
  Prediction,
  TensorSlot,
  WorkerCapabilities,
} from './state.ts';
import { leastDeviceMemory, type PlannedWorker } from './worker-rates.ts';

/** Tokens that one forward run is filled up to: enough for full matrix speed, small enough for the activations. */
export const RUN_TOKENS_MAX = 2048;
/** Below this a run is slower for every token (bench/forward.ts: at 128 tokens by a tenth). */
const RUN_TOKENS_MIN = 256;
/** So many microbatches can be shared by many replicas, evenly, and anew when a worker comes or goes. */
const MICROBATCHES_MIN = 64;

export interface JobPlacement {
  readonly plan: Plan;
  /** Null while nobody knows how much calibration data there is. */
  readonly choice: PlacementChoice | null;
}

/** @throws ManifestInvalid: more stages than layers */
export function planJob(manifest: Manifest, intake: JobIntake, workers: readonly WorkerCapabilities[]): Plan {
  const named = workers.map((capabilities, index) => ({ name: `worker ${index + 1}`, capabilities }));
  return placeJob(manifest, intake, named).plan;
}

export function placeJob(manifest: Manifest, intake: JobIntake, workers: readonly PlannedWorker[]): JobPlacement {
  const { calibration, placement, output } = manifest.spec;
  const size = 'text' in calibration ? calibration : intake.givenTokens;
  const outputShards = isPublished(output) ? planOutputShards(intake, output.maxShardSize) : [];
  const replicasMax = placement.replicas === 'auto' ? null : placement.replicas;
  const snapshotInterval = snapshotIntervalFor(manifest);
  const layerCount = intake.layers.length;
  const deviceMemoryBytes = leastDeviceMemory(workers);
  if (size === null) {
    const plan: Plan = {
      stages: planStages(placement.stages === 'auto' ? 1 : placement.stages, layerCount),
      replicas: Math.max(1, Math.min(replicasMax ?? workers.length, workers.length)),
      replicasMax,
      wave: null,
      snapshotInterval: snapshotInterval === 'auto' ? layerCount : snapshotInterval,
      microbatch: resolveMicrobatch({ manifest, intake, plan: { deviceMemoryBytes } }, 1, RUN_TOKENS_MAX),
      deviceMemoryBytes,
      samples: null,
      sequenceLength: null,
      outputShards,
      prediction: null,
    };
    return { plan, choice: null };
  }
  const { samples, sequenceLength } = size;
  const microbatch = resolveMicrobatch({ manifest, intake, plan: { deviceMemoryBytes } }, samples, sequenceLength);
  const inputs = costInputs(manifest, intake, { samples, sequenceLength, microbatch }, outputShards);
  const asked = { stages: placement.stages, replicas: placement.replicas, snapshotInterval };
  const choice = choosePlacement(inputs, workers, asked);
  const { stages, replicas, wave, cost } = choice.chosen;
  const plan: Plan = {
    stages,
    replicas,
    replicasMax,
    wave,
    snapshotInterval: cost.snapshotInterval,
    microbatch,
    deviceMemoryBytes,
    samples,
    sequenceLength,
    outputShards,
    prediction: predictionOf(choice),
  };
  return { plan, choice };
}

/**
 * Where layers are discarded, a file stays until the hidden states behind it are in files: with a snapshot behind every layer
 * it is one or two of them that do.
 */
function snapshotIntervalFor({ spec: { placement, output, pruning } }: Manifest): 'auto' | number {
  // A job of an earlier version has no such field.
  const asked = placement.snapshotInterval ?? 'auto';
  return asked === 'auto' && isDiscarded(output.destination) && pruning.propagate === 'pruned' ? 1 : asked;
}

function predictionOf({ chosen: { cost } }: PlacementChoice): Prediction {
  return {
    totalMs: cost.totalMs,
    computeMs: cost.work.compute,
    loadMs: cost.work.load,
    pruneMs: cost.work.prune,
    snapshotMs: cost.work.snapshot,
    bytesRead: cost.bytesRead,
    bytesWritten: cost.bytesWritten,
    workerMemoryBytes: memoryOf(cost),
  };
}

function costInputs(
  manifest: Manifest,
  intake: JobIntake,
  calibration: Pick<CostInputs, 'samples' | 'sequenceLength' | 'microbatch'>,
  outputShards: readonly OutputShardPlan[],
): CostInputs {
  const { layers, model } = intake;
  const linears = layers[0]?.linears ?? [];
  const largest = layers[0]?.tensors.reduce((a, b) => (b.sizeBytes > a.sizeBytes ? b : a));
  const widths = new Map(linears.map((linear) => [linear.statistic, linear.inFeatures]));
  return {
    ...calibration,
    layerCount: layers.length,
    bytesPerLayer: sum(layers.map((layer) => sum(layer.tensors.map((tensor) => tensor.sizeBytes)))) / layers.length,
    parametersPerLayer: sum(linears.map((linear) => linear.outFeatures * linear.inFeatures)),
    pruneNsPerWeight: pruneNsPerWeight(
      manifest.spec.pruning,
      layers.flatMap((layer) => layer.linears),
      largest?.dtype === 'BF16' || largest?.dtype === 'F16' ? largest.dtype : 'F32',
    ),
    hiddenSize: model.hiddenSize,
    intermediateSize: model.intermediateSize,
    attentionWidth: model.headCount * model.headDim,
    statisticsWidth: sum([...widths.values()]),
    propagate: manifest.spec.pruning.propagate,
    device: onDevice(manifest, intake, calibration.sequenceLength),
    castsOnce: castsOnce(model, calibration.samples * calibration.sequenceLength, calibration.sequenceLength),
    survey: manifest.spec.pruning.layerwise !== undefined,
    hessianWidths: updatesWeights(manifest.spec.pruning) ? [...widths.values()] : [],
    isDiscarded: isDiscarded(manifest.spec.output.destination),
    sourceBytes: sum(intake.shards.map((shard) => shard.sizeBytes)),
    copiedBytes: sum(outputShards.filter((shard) => !isOneLayer(shard, intake)).map((shard) => shard.sizeBytes)),
  };
}

/** Its file is the committed layer's, under another name. */
function isOneLayer(shard: OutputShardPlan, intake: JobIntake): boolean {
  const layer = intake.layers.find((each) => each.tensors[0]?.name === shard.tensors[0]);
  return layer !== undefined && layer.tensors.length === shard.tensors.length;
}

/** What a layer, the mean where they differ, takes of a CUDA device in the pass that takes the most. */
function onDevice(manifest: Manifest, { layers, model }: JobIntake, sequenceLength: number): CostInputs['device'] {
  const tensors = layers.flatMap((layer) => layer.tensors);
  const dtype = chooseComputeDtype('cuda', tensors);
  const widths = new Map(layers[0]?.linears.map((linear) => [linear.statistic, linear.inFeatures]));
  const inputColumns = updatesWeights(manifest.spec.pruning) ? sum([...widths.values()]) : 0;
  const storedBytes = sum(tensors.map((tensor) => tensor.sizeBytes)) / layers.length;
  return { dtype, ...layerDeviceBytes({ model, sequenceLength, computeDtype: dtype, storedBytes, inputColumns }) };
}

/** What a job's microbatch follows from, apart from its samples. */
type Sizing = Pick<JobState, 'manifest' | 'intake'> & { readonly plan: Pick<Plan, 'deviceMemoryBytes'> | null };

/** Samples in one forward run. Results do not depend on it: statistics are kept per sample. */
export function resolveMicrobatch(sizing: Sizing, samples: number, sequenceLength: number): number {
  const { manifest, intake } = sizing;
  const deviceMemoryBytes = sizing.plan?.deviceMemoryBytes ?? null;
  const asked = manifest.spec.calibration.microbatch;
  if (asked !== 'auto') return asked;
  const most = Math.max(1, Math.floor(RUN_TOKENS_MAX / sequenceLength));
  const least = Math.max(1, Math.ceil(RUN_TOKENS_MIN / sequenceLength));
  const wanted = Math.min(most, Math.max(least, Math.floor(samples / MICROBATCHES_MIN)));
  if (intake === null || deviceMemoryBytes === null) return wanted;
  return Math.min(wanted, samplesThatFit(onDevice(manifest, intake, sequenceLength), deviceMemoryBytes));
}

/**
 * Tensors in the order of the model (embedding, layers, the rest), filled greedily into shards of at most
 * `shardSizeBytesMax`; a tensor larger than that has a shard of its own.
 */
export function planOutputShards(intake: JobIntake, shardSizeBytesMax: number): OutputShardPlan[] {
  const ordered: TensorSlot[] = [
    intake.embedding,
    ...intake.layers.flatMap((layer) => layer.tensors),
    ...intake.outside.filter((tensor) => tensor.name !== intake.embedding.name),
  ];
  const groups: { tensors: string[]; sizeBytes: number }[] = [];
  for (const tensor of ordered) {
    const last = groups.at(-1);
    if (last !== undefined && last.sizeBytes + tensor.sizeBytes <= shardSizeBytesMax) {
      last.tensors.push(tensor.name);
      last.sizeBytes += tensor.sizeBytes;
    } else {
      groups.push({ tensors: [tensor.name], sizeBytes: tensor.sizeBytes });
    }
  }
  const total = fiveDigits(groups.length);
  return groups.map((group, index) => ({
    ...group,
    file: groups.length === 1 ? 'model.safetensors' : `model-${fiveDigits(index + 1)}-of-${total}.safetensors`,
  }));
}

/**
 * Tokens through layers in a run that nothing disturbs: with pruned propagation every layer runs twice. A layer that keeps
 * every weight is not calibrated; behind the last one that is, nothing runs. Hessians are a pass more over what is calibrated;
 * with `layerwise` a dense sweep comes first, which with dense propagation is that of the statistics.
 */
export function totalWork(manifest: Manifest, keepsAll: readonly boolean[], tokens: number): number {
  const last = keepsAll.lastIndexOf(false);
  if (last < 0) return 0;
  const calibrated = keepsAll.filter((keeps) => !keeps).length;
  const { pruning } = manifest.spec;
  const correlated = updatesWeights(pruning) ? calibrated : 0;
  const isPruned = pruning.propagate === 'pruned';
  const surveyed = pruning.layerwise !== undefined && isPruned ? last + 1 : 0;
  return tokens * (surveyed + correlated + (isPruned ? calibrated + last : last + 1));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
