/**
 * A checkpoint that exists as its description only: `config.json`, and where each tensor would stand. A file of it is one
 * decoder layer, or one tensor outside the layers, its tensors one behind the other; whoever needs a file has it made
 * (shared/storage/synthetic-job-files.ts).
 *
 * Linears have weights about N(0, 1 / inFeatures), which keeps the size of what goes through them, as trained models do
 * (LLaMA 7B: 0.015 to 0.023 for the 0.0156 here); norms are about 1: so activations stay finite through any number of layers.
 */
import type { Checkpoint } from '../checkpoint/open-checkpoint.ts';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { layerTensors, outsideTensors, type PlainTensor } from '../models/family.ts';
import { describeModel } from '../models/registry.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype } from '../safetensors/dtype.ts';
import { fiveDigits } from '../storage/staging-names.ts';
import { SHAPES } from './shapes.ts';
import { parseSyntheticModel, type SyntheticModel, showSyntheticModel } from './synthetic-location.ts';
import { SyntheticWeights } from './synthetic-weights.ts';

const NORM_DEVIATION = 0.1;

const TORCH_DTYPES: Readonly<Record<FloatDtype, string>> = { BF16: 'bfloat16', F16: 'float16', F32: 'float32' };

/** @throws ArgumentInvalid for a location that names no synthetic model */
export function syntheticCheckpoint(location: string): Checkpoint {
  const model = parseSyntheticModel(location);
  const config = configOf(model);
  const tensors = placeTensors(config, model.dtype);
  return {
    directory: showSyntheticModel(model),
    config,
    // There is nothing to digest: the location says which bytes these are.
    shards: [],
    tensors,
    totalSizeBytes: [...tensors.values()].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0),
    weightMapFile: undefined,
    auxiliaryFiles: [],
    warnings: [],
  };
}

/** The bytes of one of its tensors. */
export function syntheticTensor(
  { seed }: SyntheticModel,
  { name, dtype, shape }: { readonly name: string; readonly dtype: FloatDtype; readonly shape: readonly number[] },
): SyntheticWeights {
  const isNorm = shape.length === 1;
  const mean = isNorm ? 1 : 0;
  const standardDeviation = isNorm ? NORM_DEVIATION : 1 / Math.sqrt(shape[1] as number);
  return new SyntheticWeights({ seed, name, dtype, mean, standardDeviation });
}

function configOf({ shape, layers, dtype }: SyntheticModel): Record<string, unknown> {
  const { hiddenSize, intermediateSize, headCount, keyValueHeadCount, vocabularySize } = SHAPES[shape];
  return {
    architectures: ['LlamaForCausalLM'],
    model_type: 'llama',
    hidden_size: hiddenSize,
    intermediate_size: intermediateSize,
    num_hidden_layers: layers,
    num_attention_heads: headCount,
    num_key_value_heads: keyValueHeadCount,
    vocab_size: vocabularySize,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 2048,
    hidden_act: 'silu',
    tie_word_embeddings: false,
    torch_dtype: TORCH_DTYPES[dtype],
  };
}

/** By name, in the order of files and bytes. */
function placeTensors(config: Record<string, unknown>, dtype: FloatDtype): Map<string, TensorLocation> {
  const description = describeModel(config);
  const placed = new Map<string, TensorLocation>();
  const place = (file: string, tensors: readonly PlainTensor[]): void => {
    let offset = 0;
    for (const { name, shape } of tensors) {
      const sizeBytes = shape.reduce((product, extent) => product * extent, DTYPE_SIZE_BYTES[dtype]);
      placed.set(name, { name, dtype, shape, file, offset, sizeBytes });
      offset += sizeBytes;
    }
  };
  for (const tensor of outsideTensors(description)) place(tensor.name, [tensor]);
  for (let layer = 0; layer < description.layerCount; layer++) {
    const { linears, others } = layerTensors(description, layer);
    const matrices = linears.map(({ name, outFeatures, inFeatures }) => ({ name, shape: [outFeatures, inFeatures] }));
    place(`layer-${fiveDigits(layer)}`, [...matrices, ...others]);
  }
  return placed;
}
