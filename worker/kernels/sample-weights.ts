/** Weights and norms as models have them, made of random numbers: what the kernel is tried and timed on. */
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { seededRandom } from '../calibration/random.ts';

/** Of most checkpoints' linears, about. */
const WEIGHT_DEVIATION = 0.02;
const UINT32_COUNT = 2 ** 32;

/** random: numbers in [0, 1). One number of the standard normal distribution. */
export function gaussian(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
}

/** A number as a dtype stores it: rounded (bfloat16: cut), and never to infinity. */
export function storeWeight(dtype: FloatDtype, value: number): number {
  if (dtype === 'F32') return value;
  if (dtype === 'BF16') return (new Uint32Array(Float32Array.of(value).buffer)[0] as number) >>> 16;
  const clamped = Math.max(-65504, Math.min(65504, value));
  return new Uint16Array(Float16Array.of(clamped).buffer)[0] as number;
}

/** `count` weights as bytes; `weight` makes one of its index and a normal number. The same for the same seed. */
export function sampleWeights(
  dtype: FloatDtype,
  count: number,
  weight: (normal: number, index: number) => number = (normal) => WEIGHT_DEVIATION * normal,
): Uint8Array {
  const random = uniform(1);
  const weights = dtype === 'F32' ? new Float32Array(count) : new Uint16Array(count);
  for (let i = 0; i < count; i++) weights[i] = storeWeight(dtype, weight(gaussian(random), i));
  return new Uint8Array(weights.buffer);
}

/** Log-normal norms of input columns. */
export function sampleNorms(columns: number): Float32Array {
  const random = uniform(2);
  return Float32Array.from({ length: columns }, () => Math.exp(0.5 * gaussian(random)));
}

function uniform(seed: number): () => number {
  const { nextUint32 } = seededRandom(seed);
  return () => nextUint32() / UINT32_COUNT;
}
