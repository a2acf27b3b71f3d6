/** How a job is laid out: its stages, its microbatch, the shards of its output. Pure functions of manifest and inputs. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { fiveDigits } from '../../shared/storage/staging-names.ts';
import type { JobIntake, OutputShardPlan, Plan, StagePlan, TensorSlot, WorkerCapabilities } from './state.ts';

/** Tokens that one forward run is filled up to: enough for full matrix speed, small enough for the activations. */
const RUN_TOKENS = 2048;

/** Layers between snapshots. */
const SNAPSHOT_INTERVAL = 8;

export function planJob(manifest: Manifest, intake: JobIntake, workers: readonly WorkerCapabilities[]): Plan {
  const calibration = manifest.spec.calibration;
  const size = 'text' in calibration ? calibration : intake.givenTokens;
  const sequenceLength = size?.sequenceLength ?? null;
  const {
    stages: askedStages,
    replicas,
    snapshotInterval = 'auto',
  } = manifest.spec.placement as Manifest['spec']['placement'] & { snapshotInterval?: number | 'auto' };
  const stages = planStages(askedStages === 'auto' ? 1 : askedStages, intake.layers.length);
  return {
    stages,
    replicas: replicas === 'auto' ? Math.max(1, Math.floor(workers.length / stages.length)) : replicas,
    replicasMax: replicas === 'auto' ? null : replicas,
    wave: null,
    snapshotInterval: snapshotInterval === 'auto' ? SNAPSHOT_INTERVAL : snapshotInterval,
    microbatch: resolveMicrobatch(manifest, sequenceLength ?? RUN_TOKENS),
    samples: size?.samples ?? null,
    sequenceLength,
    outputShards: planOutputShards(intake, manifest.spec.output.maxShardSize),
  };
}

/** Samples in one forward run. Results do not depend on it: statistics are kept per sample. */
export function resolveMicrobatch(manifest: Manifest, sequenceLength: number): number {
  const asked = manifest.spec.calibration.microbatch;
  return asked === 'auto' ? Math.max(1, Math.floor(RUN_TOKENS / sequenceLength)) : asked;
}

/** Contiguous stages whose sizes differ by at most one layer, the longer ones first. */
export function planStages(asked: number, layerCount: number): StagePlan[] {
  if (asked > layerCount) {
    throw new SecateurError(
      'ManifestInvalid',
      `spec.placement.stages: expected at most ${layerCount}, the number of decoder layers; found ${asked}. Ask for fewer stages, or "auto".`,
      { details: { asked, layerCount } },
    );
  }
  const stages: StagePlan[] = [];
  let firstLayer = 0;
  for (let index = 0; index < asked; index++) {
    const size = Math.floor(layerCount / asked) + (index < layerCount % asked ? 1 : 0);
    stages.push({ firstLayer, layerCount: size });
    firstLayer += size;
  }
  return stages;
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

/** Tokens through layers in a run that nothing disturbs: with pruned propagation every layer but the last runs twice. */
export function totalWork(manifest: Manifest, layerCount: number, tokens: number): number {
  const passes = manifest.spec.pruning.propagate === 'pruned' ? 2 * layerCount - 1 : layerCount;
  return passes * tokens;
}
