/** The shard map covers everything once: layers, microbatches, tensors. */
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { choosePlacement } from '../../../coordinator/core/choose-placement.ts';
import { microbatchCount } from '../../../coordinator/core/layer-times.ts';
import { planOutputShards } from '../../../coordinator/core/plan.ts';
import { mapShards, type Range, type ShardMap } from '../../../coordinator/core/shard-map.ts';
import { fakeIntake } from '../../simulation/cluster.ts';
import { plannedWorkers, SMALL } from './planned-workers.ts';

const job = fc.record({
  layerCount: fc.integer({ min: 1, max: 20 }),
  samples: fc.integer({ min: 1, max: 50 }),
  propagate: fc.constantFrom('pruned' as const, 'dense' as const),
});

function mapOf(
  given: { layerCount: number; samples: number; propagate: 'pruned' | 'dense' },
  workerCount: number,
  stages: number | 'auto',
  shardSizeBytesMax: number,
): { map: ShardMap; microbatches: number } {
  const inputs = { ...SMALL, ...given, microbatch: 2 };
  const workers = plannedWorkers(workerCount);
  const { chosen } = choosePlacement(inputs, workers, { stages, replicas: 'auto', snapshotInterval: 'auto' });
  const intake = fakeIntake(given.layerCount);
  const shards = planOutputShards(intake, shardSizeBytesMax);
  const names = workers.map((worker) => worker.name);
  const microbatches = microbatchCount(inputs);
  return { map: mapShards(chosen, intake, shards, microbatches, names), microbatches };
}

function numbersIn(ranges: readonly Range[]): number[] {
  return ranges.flatMap(([first, end]) => Array.from({ length: end - first }, (_, index) => first + index));
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, index) => index);

describe('the shard map', () => {
  it('has every layer in one stage, and in every stage every microbatch at one worker', () => {
    fc.assert(
      fc.property(job, fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }), (given, workers, asked) => {
        const { map, microbatches } = mapOf(given, workers, Math.min(asked, given.layerCount), 100);
        expect(numbersIn(map.stages.map((stage) => stage.layers))).toEqual(upTo(given.layerCount));
        for (const { replicas } of map.stages) {
          const all = replicas.flatMap((replica) => numbersIn(replica.microbatches));
          expect(all.sort((a, b) => a - b)).toEqual(upTo(microbatches));
          expect(new Set(replicas.map((replica) => replica.worker)).size).toBe(replicas.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  it('says which layers and which other tensors an output shard holds', () => {
    const { map } = mapOf({ layerCount: 3, samples: 4, propagate: 'pruned' }, 1, 'auto', 80);
    expect(map.outputShards.map(({ layers, otherTensors }) => ({ layers, otherTensors }))).toEqual([
      { layers: [0, 1], otherTensors: 1 },
      { layers: [1, 3], otherTensors: 0 },
      { layers: null, otherTensors: 1 },
    ]);
    expect(map.stages.map((stage) => stage.sourceShards)).toEqual([['model.safetensors']]);
  });

  it('of a pipeline gives a replica its part of every wave', () => {
    const inputs = { ...SMALL, propagate: 'dense' as const, samples: 10, microbatch: 1 };
    const asked = { stages: 2, replicas: 2, snapshotInterval: 12 };
    const { chosen } = choosePlacement(inputs, plannedWorkers(4), asked);
    const names = ['a', 'b', 'c', 'd'];
    const map = mapShards(
      { ...chosen, wave: 4, cost: { ...chosen.cost, shares: [shares(0, 1), shares(2, 3)] } },
      fakeIntake(12),
      [],
      10,
      names,
    );
    expect(map.stages.map((stage) => stage.replicas)).toEqual([
      [
        {
          worker: 'a',
          microbatches: [
            [0, 2],
            [4, 6],
            [8, 10],
          ],
        },
        {
          worker: 'b',
          microbatches: [
            [2, 4],
            [6, 8],
          ],
        },
      ],
      [
        {
          worker: 'c',
          microbatches: [
            [0, 2],
            [4, 6],
            [8, 10],
          ],
        },
        {
          worker: 'd',
          microbatches: [
            [2, 4],
            [6, 8],
          ],
        },
      ],
    ]);
  });
});

function shares(...workers: number[]): { worker: number; microbatches: number }[] {
  return workers.map((worker) => ({ worker, microbatches: 2 }));
}
