/**
 * A decoder layer in float64, in plain loops: what the ONNX graph is compared with. Follows huggingface/transformers'
 * LlamaDecoderLayer; written from the mathematics, and shares no code with shared/onnx but the description.
 *
 * Also makes the random layers that it is tried on: weights from a seed, rounded to their storage type, in a file.
 */
import { writeFile } from 'node:fs/promises';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { layerTensors, type ModelDescription, type RopeScaling, type Statistic } from '../../shared/models/family.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype } from '../../shared/safetensors/dtype.ts';

/** Weights by full name, widened exactly. */
export type Float64Weights = ReadonlyMap<string, Float64Array>;

export interface Float64LayerResult {
  /** [B, S, H] */
  readonly hidden: Float64Array;
  /** Statistic → Σ over a sample's tokens of the squared input [B, D] */
  readonly statistics: Readonly<Record<Statistic, Float64Array>>;
}

/** `hidden` [B, S, H]. */
export function float64DecoderLayer(
  description: ModelDescription,
  layer: number,
  weights: Float64Weights,
  hidden: Float64Array,
  batch: number,
): Float64LayerResult {
  const { hiddenSize, headCount, keyValueHeadCount, headDim, intermediateSize, rmsNormEpsilon } = description;
  const tokens = hidden.length / hiddenSize;
  const sequenceLength = tokens / batch;
  const get = (name: string): Float64Array => {
    const found = weights.get(`model.layers.${layer}.${name}`);
    if (found === undefined) throw new Error(`no weight ${name}`);
    return found;
  };
  const linear = (input: Float64Array, name: string): Float64Array =>
    affine(input, get(`${name}.weight`), weights.get(`model.layers.${layer}.${name}.bias`), tokens);

  const attentionInput = rmsNorm(hidden, get('input_layernorm.weight'), rmsNormEpsilon);
  const angles = rotaryAngles(description, sequenceLength);
  const query = rotate(linear(attentionInput, 'self_attn.q_proj'), headCount, headDim, angles);
  const key = rotate(linear(attentionInput, 'self_attn.k_proj'), keyValueHeadCount, headDim, angles);
  const value = linear(attentionInput, 'self_attn.v_proj');
  const attentionOutput = attend(description, sequenceLength, batch, query, key, value);
  const afterAttention = add(hidden, linear(attentionOutput, 'self_attn.o_proj'));
  const mlpInput = rmsNorm(afterAttention, get('post_attention_layernorm.weight'), rmsNormEpsilon);
  const up = linear(mlpInput, 'mlp.up_proj');
  const mlpActivation = linear(mlpInput, 'mlp.gate_proj').map((x, i) => (x / (1 + Math.exp(-x))) * (up[i] as number));
  return {
    hidden: add(afterAttention, linear(mlpActivation, 'mlp.down_proj')),
    statistics: {
      attentionInput: columnSquares(attentionInput, hiddenSize, batch),
      attentionOutput: columnSquares(attentionOutput, headCount * headDim, batch),
      mlpInput: columnSquares(mlpInput, hiddenSize, batch),
      mlpActivation: columnSquares(mlpActivation, intermediateSize, batch),
    },
  };
}

function affine(
  input: Float64Array,
  weight: Float64Array,
  bias: Float64Array | undefined,
  tokens: number,
): Float64Array {
  const inFeatures = input.length / tokens;
  const outFeatures = weight.length / inFeatures;
  const output = new Float64Array(tokens * outFeatures);
  for (let t = 0; t < tokens; t++) {
    for (let o = 0; o < outFeatures; o++) {
      let sum = bias?.[o] ?? 0;
      for (let i = 0; i < inFeatures; i++) {
        sum += (input[t * inFeatures + i] as number) * (weight[o * inFeatures + i] as number);
      }
      output[t * outFeatures + o] = sum;
    }
  }
  return output;
}

function rmsNorm(input: Float64Array, gain: Float64Array, epsilon: number): Float64Array {
  const width = gain.length;
  const output = new Float64Array(input.length);
  for (let start = 0; start < input.length; start += width) {
    const meanSquare = input.subarray(start, start + width).reduce((sum, x) => sum + x * x, 0) / width;
    for (let i = 0; i < width; i++) {
      output[start + i] = ((input[start + i] as number) / Math.sqrt(meanSquare + epsilon)) * (gain[i] as number);
    }
  }
  return output;
}

/** Angle of each position and pair, [S, headDim / 2], exact but for float64. */
export function rotaryAngles({ headDim, rope }: ModelDescription, sequenceLength: number): Float64Array {
  const half = headDim / 2;
  const frequencies = Float64Array.from({ length: half }, (_, i) =>
    scale(rope.theta ** ((-2 * i) / headDim), rope.scaling),
  );
  return Float64Array.from(
    { length: sequenceLength * half },
    (_, i) => Math.floor(i / half) * (frequencies[i % half] as number),
  );
}

function scale(frequency: number, scaling: RopeScaling): number {
  if (scaling.type === 'none') return frequency;
  if (scaling.type === 'linear') return frequency / scaling.factor;
  // Cycles that a pair turns over the original context: 1 below lowFreqFactor, 0 above highFreqFactor.
  const cycles = (scaling.originalMaxPositionEmbeddings * frequency) / (2 * Math.PI);
  const kept = Math.min(
    1,
    Math.max(0, (cycles - scaling.lowFreqFactor) / (scaling.highFreqFactor - scaling.lowFreqFactor)),
  );
  return (1 - kept) * (frequency / scaling.factor) + kept * frequency;
}

/** Rotates element i of a head with element i + headDim / 2, as transformers' rotate_half does. */
function rotate(states: Float64Array, heads: number, headDim: number, angles: Float64Array): Float64Array {
  const half = headDim / 2;
  const output = new Float64Array(states.length);
  for (let start = 0; start < states.length; start += headDim) {
    const angleStart = (Math.floor(start / (heads * headDim)) * half) % angles.length;
    for (let i = 0; i < half; i++) {
      const angle = angles[angleStart + i] as number;
      const [first, second] = [states[start + i] as number, states[start + i + half] as number];
      output[start + i] = first * Math.cos(angle) - second * Math.sin(angle);
      output[start + i + half] = second * Math.cos(angle) + first * Math.sin(angle);
    }
  }
  return output;
}

function attend(
  { headCount, keyValueHeadCount, headDim, slidingWindow }: ModelDescription,
  sequenceLength: number,
  batch: number,
  query: Float64Array,
  key: Float64Array,
  value: Float64Array,
): Float64Array {
  const context = new Float64Array(query.length);
  const at = (token: number, head: number, heads: number): number => (token * heads + head) * headDim;
  for (let sample = 0; sample < batch; sample++) {
    for (let head = 0; head < headCount; head++) {
      const keyHead = Math.floor(head / (headCount / keyValueHeadCount));
      for (let position = 0; position < sequenceLength; position++) {
        const first = slidingWindow === null ? 0 : Math.max(0, position - slidingWindow + 1);
        const start = sample * sequenceLength;
        const q = at(start + position, head, headCount);
        const scores: number[] = [];
        for (let other = first; other <= position; other++) {
          const k = at(start + other, keyHead, keyValueHeadCount);
          let dot = 0;
          for (let e = 0; e < headDim; e++) dot += (query[q + e] as number) * (key[k + e] as number);
          scores.push(dot / Math.sqrt(headDim));
        }
        const largest = Math.max(...scores);
        const weights = scores.map((score) => Math.exp(score - largest));
        const total = weights.reduce((sum, weight) => sum + weight, 0);
        for (const [index, weight] of weights.entries()) {
          const v = at(start + first + index, keyHead, keyValueHeadCount);
          for (let e = 0; e < headDim; e++) {
            context[q + e] = (context[q + e] as number) + (weight / total) * (value[v + e] as number);
          }
        }
      }
    }
  }
  return context;
}

function add(left: Float64Array, right: Float64Array): Float64Array {
  return left.map((x, i) => x + (right[i] as number));
}

function columnSquares(input: Float64Array, width: number, batch: number): Float64Array {
  const sums = new Float64Array(batch * width);
  const perSample = input.length / batch;
  for (const [index, x] of input.entries()) {
    const slot = Math.floor(index / perSample) * width + (index % width);
    sums[slot] = (sums[slot] as number) + x * x;
  }
  return sums;
}

/** Numbers in [-1, 1) from a seed: xorshift32. */
export function randomNumbers(count: number, seed: number): Float32Array {
  let state = Math.imul(seed, 0x9e3779b1) ^ 0x5bd1e995 || 1;
  return Float32Array.from({ length: count }, () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state / 2 ** 31;
  });
}

export interface RandomLayer {
  readonly tensors: ReadonlyMap<string, TensorLocation>;
  readonly weights: Float64Weights;
}

/**
 * Writes the tensors of one layer into `file`, beginning at an odd offset, and returns their places together with the
 * values that storage kept. `dtypes` are dealt out in turn.
 */
export async function writeRandomLayer(
  file: string,
  description: ModelDescription,
  layer: number,
  dtypes: readonly FloatDtype[],
): Promise<RandomLayer> {
  const { linears, others } = layerTensors(description, layer);
  const shapes = [
    ...linears.map(({ name, outFeatures, inFeatures }) => ({ name, shape: [outFeatures, inFeatures] })),
    ...others,
  ];
  const tensors = new Map<string, TensorLocation>();
  const weights = new Map<string, Float64Array>();
  const parts: Uint8Array[] = [Uint8Array.of(0)];
  let offset = 1;
  for (const [index, { name, shape }] of shapes.entries()) {
    const dtype = dtypes[index % dtypes.length] as FloatDtype;
    const count = shape.reduce((product, dim) => product * dim, 1);
    const spread = shape.length === 2 ? 1.7 / Math.sqrt(shape[1] as number) : 0.2;
    const center = name.endsWith('layernorm.weight') ? 1 : 0;
    const values = randomNumbers(count, 1000 * (layer + 1) + index).map((x) => center + spread * x);
    const stored = toStorage(values, dtype);
    parts.push(stored.bytes);
    weights.set(name, stored.kept);
    tensors.set(name, { name, dtype, shape, file, offset, sizeBytes: count * DTYPE_SIZE_BYTES[dtype] });
    offset += stored.bytes.byteLength;
  }
  await writeFile(file, Buffer.concat(parts));
  return { tensors, weights };
}

function toStorage(values: Float32Array, dtype: FloatDtype): { bytes: Uint8Array; kept: Float64Array } {
  if (dtype === 'F32') return { bytes: new Uint8Array(values.buffer), kept: Float64Array.from(values) };
  if (dtype === 'F16') {
    const half = Float16Array.from(values);
    return { bytes: new Uint8Array(half.buffer), kept: Float64Array.from(half) };
  }
  // Truncation suffices: any bf16 number will do.
  const upper = Uint16Array.from(new Uint32Array(values.buffer), (bits) => bits >>> 16);
  const widened = Uint32Array.from(upper, (bits) => bits << 16);
  return { bytes: new Uint8Array(upper.buffer), kept: Float64Array.from(new Float32Array(widened.buffer)) };
}
