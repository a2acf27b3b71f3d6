import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planStages } from '../../../coordinator/core/choose-placement.ts';
import { planJob, planOutputShards, resolveMicrobatch } from '../../../coordinator/core/plan.ts';
import type { PlannedWorker } from '../../../coordinator/core/worker-rates.ts';
import { fakeIntake, fakeManifest } from '../../simulation/cluster.ts';
import { plannedWorkers } from './planned-workers.ts';

const capabilities = (worker: PlannedWorker) => worker.capabilities;

describe('stages', () => {
  it('cover every layer once, in order, and differ by at most one layer', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 64 }), (layers, asked) => {
        const count = Math.min(asked, layers);
        const stages = planStages(count, layers);
        expect(
          stages.flatMap((stage) => Array.from({ length: stage.layerCount }, (_, index) => stage.firstLayer + index)),
        ).toEqual(Array.from({ length: layers }, (_, layer) => layer));
        const sizes = stages.map((stage) => stage.layerCount);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(stages.length).toBe(count);
      }),
    );
  });
});

describe('a plan', () => {
  const manifest = fakeManifest({ propagate: 'pruned', stages: 'auto', microbatch: 'auto' });

  it('has its prediction as soon as the manifest says how much calibration data there is', () => {
    const { prediction, replicas, replicasMax } = planJob(manifest, fakeIntake(4), plannedWorkers(2).map(capabilities));
    expect(prediction?.totalMs).toBeGreaterThan(0);
    expect([replicas, replicasMax]).toEqual([1, null]);
  });

  it('of token ids whose number nobody knows yet has none, and what is asked for', () => {
    const { spec } = manifest;
    const calibration = { tokens: 'file:///ids.safetensors', microbatch: 'auto' as const };
    const placement = { stages: 2, replicas: 3, snapshotInterval: 'auto' as const };
    const plan = planJob({ ...manifest, spec: { ...spec, calibration, placement } }, fakeIntake(4), []);
    expect(plan).toMatchObject({ prediction: null, replicas: 1, replicasMax: 3, wave: null, snapshotInterval: 4 });
    expect(plan.stages).toHaveLength(2);
  });
});

describe('a microbatch', () => {
  const auto = fakeManifest({ propagate: 'pruned', stages: 1, microbatch: 'auto' });

  it.each([
    [128, 2048, 1, 'a long sequence is a run of its own'],
    [16, 128, 2, 'a few short ones make runs that are not too short'],
    [1024, 128, 16, 'many short ones fill a run up'],
    [100_000, 16, 128, 'and never more than that'],
    [128, 4096, 1, 'a sequence is never cut'],
  ])('of %d samples of %d tokens has %d: %s', (samples, sequenceLength, expected) => {
    expect(resolveMicrobatch(auto, samples, sequenceLength)).toBe(expected);
  });
});

describe('output shards', () => {
  it('hold every tensor once in the order of the model, none above the limit unless it is alone', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 30 }), fc.integer({ min: 1, max: 500 }), (layers, limit) => {
        const intake = fakeIntake(layers);
        const shards = planOutputShards(intake, limit);
        expect(shards.flatMap((shard) => shard.tensors)).toEqual([
          'embed',
          ...intake.layers.map((_, layer) => `l${layer}.w`),
          'head',
        ]);
        for (const shard of shards) expect(shard.sizeBytes <= limit || shard.tensors.length === 1).toBe(true);
        expect(new Set(shards.map((shard) => shard.file)).size).toBe(shards.length);
      }),
    );
  });

  it('a single one has no number in its name', () => {
    expect(planOutputShards(fakeIntake(2), 1e9).map((shard) => shard.file)).toEqual(['model.safetensors']);
    expect(planOutputShards(fakeIntake(2), 40).map((shard) => shard.file)[0]).toBe('model-00001-of-00004.safetensors');
  });
});
