/** Weights that are made where they are needed: any range, always the same, distributed as asked. */
import { createHash } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import type { FloatDtype } from '../../../shared/safetensors/dtype.ts';
import { SyntheticWeights, type WeightsSpec } from '../../../shared/synthetic/synthetic-weights.ts';
import { widen } from '../../../worker/calibration/widen.ts';

const SPEC: WeightsSpec = {
  seed: 7,
  name: 'model.layers.3.mlp.up_proj.weight',
  dtype: 'BF16',
  mean: 0,
  standardDeviation: 0.02,
};
const BYTES: Readonly<Record<FloatDtype, number>> = { BF16: 2, F16: 2, F32: 4 };

function bytesOf(spec: Partial<WeightsSpec>, length: number, offset = 0): Uint8Array {
  const bytes = new Uint8Array(length);
  new SyntheticWeights({ ...SPEC, ...spec }).fill(bytes, offset);
  return bytes;
}

function valuesOf(spec: Partial<WeightsSpec>, count: number): Float32Array {
  const dtype = spec.dtype ?? SPEC.dtype;
  const values = new Float32Array(count);
  widen(bytesOf(spec, count * BYTES[dtype]), dtype, values);
  return values;
}

function momentsOf(values: Float32Array): { mean: number; deviation: number; kurtosis: number } {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  const power = (exponent: number): number =>
    values.reduce((sum, value) => sum + (value - mean) ** exponent, 0) / values.length;
  return { mean, deviation: Math.sqrt(power(2)), kurtosis: power(4) / power(2) ** 2 };
}

describe('synthetic weights', () => {
  it.each(['BF16', 'F16', 'F32'] as const)('%s: any range of bytes is what the whole has there', (dtype) => {
    const whole = bytesOf({ dtype }, 4096);
    for (const [offset, length] of [
      [0, 4096],
      [4, 400],
      [1, 7],
      [2, 2],
      [4093, 3],
      [1000, 0],
    ] as const) {
      expect(bytesOf({ dtype }, length, offset)).toEqual(whole.subarray(offset, offset + length));
    }
    const unaligned = new Uint8Array(new ArrayBuffer(41), 1, 40);
    new SyntheticWeights({ ...SPEC, dtype }).fill(unaligned, 8);
    expect(unaligned).toEqual(whole.subarray(8, 48));
  });

  it('are these bytes, on every machine and in every version: a run of another version would be of another model', () => {
    const digest = (dtype: FloatDtype): string =>
      createHash('sha256')
        .update(bytesOf({ dtype }, 1 << 16, 1 << 20))
        .digest('hex')
        .slice(0, 16);
    expect([digest('BF16'), digest('F16'), digest('F32')]).toEqual([
      '6067d50877245f86',
      '71ac11eab0e626cb',
      'fd4fc3332c9e2d09',
    ]);
  });

  it.each(['BF16', 'F16', 'F32'] as const)(
    '%s: are about normal, with the mean and the deviation asked for',
    (dtype) => {
      const count = 1 << 20;
      const { mean, deviation, kurtosis } = momentsOf(valuesOf({ dtype }, count));
      expect(Math.abs(mean)).toBeLessThan((4 * 0.02) / Math.sqrt(count));
      expect(deviation / 0.02).toBeCloseTo(1, 2);
      expect(kurtosis).toBeGreaterThan(2.9);
      expect(kurtosis).toBeLessThan(3.1);
      const norms = momentsOf(valuesOf({ dtype, mean: 1, standardDeviation: 0.1 }, 1 << 16));
      expect(norms.mean).toBeCloseTo(1, 2);
      expect(norms.deviation).toBeCloseTo(0.1, 2);
    },
  );

  it.each<[string, Partial<WeightsSpec>, number]>([
    ['the next weight', {}, 1],
    ['the weight below it in a row of 4096', {}, 4096],
    ['another tensor', { name: 'model.layers.4.mlp.up_proj.weight' }, 0],
    ['another seed', { seed: 8 }, 0],
    ['another seed, shifted by one', { seed: 8 }, 1],
  ])('a weight says nothing about %s', (_, other, shift) => {
    const count = 1 << 18;
    const [a, b] = [valuesOf({}, count + shift), valuesOf(other, count + shift)];
    let product = 0;
    for (let index = 0; index < count; index++) product += (a[index] as number) * (b[index + shift] as number);
    expect(Math.abs(product / count / 0.02 ** 2)).toBeLessThan(4 / Math.sqrt(count));
  });
});
