/** Which stage and worker takes which layers and microbatches, out of which files, into which. Pure, for `plan` to print. */
import type { Alternative } from './choose-placement.ts';
import type { JobIntake, OutputShardPlan } from './state.ts';

/** From the first up to, not including, the second. */
export type Range = readonly [first: number, end: number];

export interface ShardMap {
  readonly stages: readonly MappedStage[];
  readonly outputShards: readonly MappedShard[];
}

export interface MappedStage {
  readonly layers: Range;
  /** Shards of the source that hold its layers, in the order in which they are read. */
  readonly sourceShards: readonly string[];
  readonly replicas: readonly { readonly worker: string; readonly microbatches: readonly Range[] }[];
}

export interface MappedShard {
  readonly file: string;
  readonly sizeBytes: number;
  /** Decoder layers of which it holds a tensor; null where it holds none. */
  readonly layers: Range | null;
  /** Tensors of no layer: the embedding, the last norm, the head. */
  readonly otherTensors: number;
}

export function mapShards(
  { stages, wave, cost }: Pick<Alternative, 'stages' | 'wave' | 'cost'>,
  intake: JobIntake,
  outputShards: readonly OutputShardPlan[],
  microbatches: number,
  workers: readonly string[],
): ShardMap {
  const layerOf = new Map(
    intake.layers.flatMap((layer, index) => layer.tensors.map((tensor) => [tensor.name, index] as const)),
  );
  return {
    stages: stages.map(({ firstLayer, layerCount }, stage) => {
      const layers = intake.layers.slice(firstLayer, firstLayer + layerCount);
      const shares = (cost.shares[stage] ?? []).filter((share) => share.microbatches > 0);
      const ranges = shareOut(
        shares.map((share) => share.microbatches),
        wave ?? microbatches,
        microbatches,
      );
      return {
        layers: [firstLayer, firstLayer + layerCount],
        sourceShards: [...new Set(layers.flatMap((layer) => layer.tensors.map((tensor) => tensor.file)))],
        replicas: shares.map((share, at) => ({
          worker: workers[share.worker] ?? 'a worker',
          microbatches: ranges[at] ?? [],
        })),
      };
    }),
    outputShards: outputShards.map(({ file, sizeBytes, tensors }) => {
      const layers = tensors.map((tensor) => layerOf.get(tensor)).filter((layer) => layer !== undefined);
      return {
        file,
        sizeBytes,
        // Tensors stand in the order of the model.
        layers: layers.length === 0 ? null : [layers[0] as number, (layers.at(-1) as number) + 1],
        otherTensors: tensors.length - layers.length,
      };
    }),
  };
}

/** Wave after wave, each cut in the same way: of every replica, its ranges, neighbours joined. */
function shareOut(shares: readonly number[], wave: number, count: number): Range[][] {
  const ranges: Range[][] = shares.map(() => []);
  for (let begin = 0; begin < count; begin += wave) {
    let first = begin;
    for (const [at, share] of shares.entries()) {
      const end = Math.min(first + share, begin + wave, count);
      const mine = ranges[at] as Range[];
      const last = mine.at(-1);
      if (last !== undefined && last[1] === first) mine[mine.length - 1] = [last[0], end];
      else if (end > first) mine.push([first, end]);
      first = end;
    }
  }
  return ranges;
}
