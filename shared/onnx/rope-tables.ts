/**
 * Cosine and sine tables of rotary position embeddings, rounded where transformers rounds.
 *
 * Source: huggingface/transformers, `modeling_rope_utils.py` and `LlamaRotaryEmbedding`: inv_freq is float32, each
 * angle is the float32 product of position and frequency, cosine and sine are float32. A table computed in float64 and
 * rounded once would be more exact and differ from the reference: at position 2000 an angle's float32 spacing is 1e-4.
 */
import type { ModelDescription, RopeScaling } from '../models/family.ts';

const round = Math.fround;

export interface RopeTables {
  /** [positions, headDim / 2], row-major */
  readonly cos: Float32Array;
  readonly sin: Float32Array;
}

/** Tables for the positions 0 … sequenceLength - 1 of every sample. */
export function ropeTables(description: ModelDescription, sequenceLength: number): RopeTables {
  const frequencies = inverseFrequencies(description);
  const half = frequencies.length;
  const cos = new Float32Array(sequenceLength * half);
  const sin = new Float32Array(sequenceLength * half);
  for (let position = 0; position < sequenceLength; position++) {
    for (const [index, frequency] of frequencies.entries()) {
      const angle = round(position * frequency);
      cos[position * half + index] = Math.cos(angle);
      sin[position * half + index] = Math.sin(angle);
    }
  }
  return { cos, sin };
}

/** Radians a position for each of the headDim / 2 pairs, float32, scaling applied. */
export function inverseFrequencies(description: ModelDescription): Float32Array {
  const { headDim, rope } = description;
  return Float32Array.from({ length: headDim / 2 }, (_, index) => {
    const exponent = round((2 * index) / headDim);
    const frequency = round(1 / round(rope.theta ** exponent));
    return scaled(frequency, rope.scaling);
  });
}

function scaled(frequency: number, scaling: RopeScaling): number {
  if (scaling.type === 'none') return frequency;
  if (scaling.type === 'linear') return round(frequency / scaling.factor);
  return scaledLlama3(frequency, scaling);
}

/** `_compute_llama3_parameters`: low frequencies are divided, high ones kept, those between are blended. */
function scaledLlama3(frequency: number, scaling: Extract<RopeScaling, { type: 'llama3' }>): number {
  const { factor, lowFreqFactor, highFreqFactor, originalMaxPositionEmbeddings } = scaling;
  const wavelength = round(round(2 * Math.PI) / frequency);
  const lowFreqWavelength = originalMaxPositionEmbeddings / lowFreqFactor;
  const highFreqWavelength = originalMaxPositionEmbeddings / highFreqFactor;
  if (wavelength < highFreqWavelength) return frequency;
  if (wavelength > lowFreqWavelength) return round(frequency / factor);
  const cycles = round(originalMaxPositionEmbeddings / wavelength);
  const smooth = round(round(cycles - lowFreqFactor) / round(highFreqFactor - lowFreqFactor));
  const divided = round(round(round(1 - smooth) * frequency) / factor);
  return round(divided + round(smooth * frequency));
}
