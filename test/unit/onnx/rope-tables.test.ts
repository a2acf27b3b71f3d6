/** Tables of rotary positions. That they are transformers' own is shown by test/golden/forward.test.ts. */
import { describe, expect, it } from 'vitest';
import type { ModelDescription, RopeScaling } from '../../../shared/models/family.ts';
import { inverseFrequencies, ropeTables } from '../../../shared/onnx/rope-tables.ts';
import { rotaryAngles } from '../../support/float64-decoder-layer.ts';

const LLAMA3: RopeScaling = {
  type: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 8192,
};

function model(scaling: RopeScaling, theta = 500_000): ModelDescription {
  return {
    architecture: 'LlamaForCausalLM',
    hiddenSize: 4096,
    intermediateSize: 14336,
    layerCount: 32,
    headCount: 32,
    keyValueHeadCount: 8,
    headDim: 128,
    vocabularySize: 128256,
    rmsNormEpsilon: 1e-5,
    rope: { theta, scaling },
    slidingWindow: null,
    maxPositionEmbeddings: 131072,
    tieWordEmbeddings: false,
    attentionBias: false,
    mlpBias: false,
  };
}

/** The angle at position 1 is the frequency itself. */
function exactFrequencies(description: ModelDescription): Float64Array {
  const half = description.headDim / 2;
  return rotaryAngles(description, 2).subarray(half);
}

describe('rotary frequencies', () => {
  it.each([
    ['unscaled', { type: 'none' }],
    ['linear', { type: 'linear', factor: 4 }],
    ['llama3', LLAMA3],
  ] as const)('%s are the exact ones, in float32', (_, scaling) => {
    const description = model(scaling);
    const exact = exactFrequencies(description);
    for (const [index, frequency] of inverseFrequencies(description).entries()) {
      expect(Math.abs(frequency / (exact[index] as number) - 1)).toBeLessThan(5e-7);
    }
  });

  it('of llama3: high ones are kept, low ones divided, those between lie between', () => {
    const plain = inverseFrequencies(model({ type: 'none' }));
    const ratios = inverseFrequencies(model(LLAMA3)).map((frequency, index) => frequency / (plain[index] as number));
    expect(ratios[0]).toBe(1);
    expect(ratios.at(-1)).toBe(1 / 8);
    const between = ratios.filter((ratio) => ratio < 1 && ratio > 1 / 8);
    expect(between.length).toBeGreaterThan(3);
    expect([...ratios]).toEqual([...ratios].sort((a, b) => b - a));
  });
});

describe('rotary tables', () => {
  it('begin with no rotation and have one row a position', () => {
    const { cos, sin } = ropeTables(model({ type: 'none' }), 3);
    expect(cos).toHaveLength(3 * 64);
    expect([...cos.subarray(0, 64)]).toEqual(Array(64).fill(1));
    expect([...sin.subarray(0, 64)]).toEqual(Array(64).fill(0));
  });

  it('round the angle to float32 before the cosine, as transformers does', () => {
    const description = model({ type: 'none' });
    const position = 4095;
    const { cos } = ropeTables(description, position + 1);
    const half = description.headDim / 2;
    const frequencies = inverseFrequencies(description);
    const row = cos.subarray(position * half);
    // Float32 angles: the product of two float32 numbers, itself a float32 number.
    const angles = Float32Array.from(frequencies, (frequency) => frequency * position);
    expect([...row]).toEqual([...Float32Array.from(angles, Math.cos)]);
    // The rounding of the angle is seen: cosines of exact products differ.
    const exact = Float32Array.from(frequencies, (frequency) => Math.cos(frequency * position));
    const largest = Math.max(...row.map((value, index) => Math.abs(value - (exact[index] as number))));
    expect(largest).toBeGreaterThan(1e-5);
    expect(largest).toBeLessThan(2 ** -12);
  });
});
