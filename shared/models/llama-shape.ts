/** The fields of a config.json that every LLaMA-shaped family shares, with what they refuse. */
import { badValue, type Config, flag, positiveInteger, positiveNumber, unsupported } from './config-fields.ts';
import type { ModelDescription } from './family.ts';
import { readRope } from './rope-config.ts';

/** Far above any published model; a larger count is damage, and would make every table of layers huge. */
const LAYER_COUNT_MAX = 4096;

/** What transformers takes where the file is silent. */
export interface FamilyDefaults {
  readonly maxPositionEmbeddings: number;
}

/**
 * `num_key_value_heads` absent means as many as heads; `head_dim` absent or null means hidden_size / heads.
 * `torch_dtype`, `dtype` and `pretraining_tp` say nothing that the computation depends on, and are not read.
 *
 * @throws CheckpointInvalid, ModelUnsupported
 */
export function describeLlamaShape(
  architecture: string,
  config: Config,
  defaults: FamilyDefaults,
): Omit<ModelDescription, 'slidingWindow' | 'attentionBias' | 'mlpBias'> {
  refuseQuantized(config);
  refuseActivation(config);
  const layerCount = positiveInteger(config, 'num_hidden_layers');
  if (layerCount > LAYER_COUNT_MAX) throw badValue('num_hidden_layers', `at most ${LAYER_COUNT_MAX}`, layerCount);
  return {
    architecture,
    intermediateSize: positiveInteger(config, 'intermediate_size'),
    layerCount,
    ...readHeads(config),
    vocabularySize: positiveInteger(config, 'vocab_size'),
    rmsNormEpsilon: positiveNumber(config, 'rms_norm_eps', 1e-6),
    rope: readRope(config),
    maxPositionEmbeddings: positiveInteger(config, 'max_position_embeddings', defaults.maxPositionEmbeddings),
    tieWordEmbeddings: flag(config, 'tie_word_embeddings', false),
  };
}

function readHeads(
  config: Config,
): Pick<ModelDescription, 'hiddenSize' | 'headCount' | 'keyValueHeadCount' | 'headDim'> {
  const hiddenSize = positiveInteger(config, 'hidden_size');
  const headCount = positiveInteger(config, 'num_attention_heads');
  const keyValueHeadCount = positiveInteger(config, 'num_key_value_heads', headCount);
  if (headCount % keyValueHeadCount !== 0) {
    throw badValue('num_key_value_heads', `a divisor of num_attention_heads, ${headCount}`, keyValueHeadCount);
  }
  const given = config.head_dim !== undefined && config.head_dim !== null;
  if (!given && hiddenSize % headCount !== 0) {
    throw badValue('num_attention_heads', `a divisor of hidden_size, ${hiddenSize}, or head_dim beside it`, headCount);
  }
  const headDim = given ? positiveInteger(config, 'head_dim') : hiddenSize / headCount;
  if (headDim % 2 !== 0) {
    throw badValue(
      given ? 'head_dim' : 'hidden_size / num_attention_heads',
      'an even number, for rotary pairs',
      headDim,
    );
  }
  return { hiddenSize, headCount, keyValueHeadCount, headDim };
}

function refuseQuantized(config: Config): void {
  const found = config.quantization_config;
  if (found === undefined || found === null) return;
  throw unsupported(
    'quantization_config',
    'checkpoints that are not quantized',
    found,
    'Take the original weights in F32, F16 or BF16; prune first and quantize afterwards.',
  );
}

function refuseActivation(config: Config): void {
  const found = config.hidden_act ?? 'silu';
  // Two names of one function: transformers maps both to torch's SiLU.
  if (found === 'silu' || found === 'swish') return;
  throw unsupported('hidden_act', 'silu', found, 'The activations of this model would be computed wrongly.');
}
