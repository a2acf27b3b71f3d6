/** A checkpoint that exists as its description only. */
import { describe, expect, it } from 'vitest';
import { checkTensors } from '../../../shared/models/family.ts';
import { describeModel } from '../../../shared/models/registry.ts';
import { SHAPE_NAMES } from '../../../shared/synthetic/shapes.ts';
import { syntheticCheckpoint } from '../../../shared/synthetic/synthetic-checkpoint.ts';

describe('a synthetic checkpoint', () => {
  it.each(SHAPE_NAMES)('%s holds every tensor that its configuration describes, and no other', (shape) => {
    const { config, tensors, directory } = syntheticCheckpoint(`synthetic:${shape}?layers=3`);
    const description = describeModel(config);
    expect(description.layerCount).toBe(3);
    expect(checkTensors(description, tensors)).toEqual({ extra: [] });
    expect(directory).toBe(`synthetic:${shape}?layers=3&seed=0&dtype=bf16`);
  });

  it.each([
    ['tinyllama-1.1b', 1.1],
    ['llama-7b', 6.7],
    ['llama-13b', 13],
    ['llama-30b', 32.5],
    ['llama-65b', 65.3],
    ['llama-2-70b', 69],
  ])('%s has the weights of the model of that name: %f billion', (shape, billions) => {
    const { totalSizeBytes } = syntheticCheckpoint(`synthetic:${shape}`);
    expect(Math.abs(totalSizeBytes / 2 / 1e9 - billions)).toBeLessThan(0.05);
  });

  it('has one file a layer, its tensors one behind the other', () => {
    const { tensors } = syntheticCheckpoint('synthetic:tiny?dtype=f32');
    const ends = new Map<string, number>();
    for (const { file, offset, sizeBytes } of tensors.values()) {
      expect(offset).toBe(ends.get(file) ?? 0);
      ends.set(file, offset + sizeBytes);
    }
    expect([...ends.keys()]).toEqual([
      'model.embed_tokens.weight',
      'model.norm.weight',
      'lm_head.weight',
      ...['layer-00000', 'layer-00001', 'layer-00002', 'layer-00003'],
    ]);
    expect(ends.get('layer-00000')).toBe(4 * (64 * 64 * 2 + 32 * 64 * 2 + 3 * 64 * 176 + 2 * 64));
  });
});
