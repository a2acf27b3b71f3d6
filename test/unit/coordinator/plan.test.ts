import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { planStages } from '../../../coordinator/core/choose-placement.ts';
import { planOutputShards } from '../../../coordinator/core/plan.ts';
import { fakeIntake } from '../../simulation/cluster.ts';

describe('stages', () => {
  it('cover every layer once, in order, and differ by at most one layer', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.integer({ min: 1, max: 64 }), (layers, asked) => {
        const stages = planStages(Math.min(asked, layers), layers);
        expect(
          stages.flatMap((stage) => Array.from({ length: stage.layerCount }, (_, index) => stage.firstLayer + index)),
        ).toEqual(Array.from({ length: layers }, (_, layer) => layer));
        const sizes = stages.map((stage) => stage.layerCount);
        expect(Math.max(...sizes) - Math.min(...sizes)).toBeLessThanOrEqual(1);
        expect(stages.length).toBe(Math.min(layers, asked));
      }),
    );
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
