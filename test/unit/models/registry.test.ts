/** Configurations as their publishers wrote them (the keys that matter), and configurations that must be refused. */
import { describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { describeModel, SUPPORTED_ARCHITECTURES } from '../../../shared/models/registry.ts';

const LLAMA_2_7B = {
  architectures: ['LlamaForCausalLM'],
  bos_token_id: 1,
  hidden_act: 'silu',
  hidden_size: 4096,
  initializer_range: 0.02,
  intermediate_size: 11008,
  max_position_embeddings: 4096,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 32,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  tie_word_embeddings: false,
  torch_dtype: 'float16',
  use_cache: true,
  vocab_size: 32000,
};
const LLAMA_3_1_8B = {
  architectures: ['LlamaForCausalLM'],
  attention_bias: false,
  attention_dropout: 0.0,
  eos_token_id: [128001, 128008, 128009],
  hidden_act: 'silu',
  hidden_size: 4096,
  intermediate_size: 14336,
  max_position_embeddings: 131072,
  mlp_bias: false,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  pretraining_tp: 1,
  rms_norm_eps: 1e-5,
  rope_scaling: {
    factor: 8.0,
    low_freq_factor: 1.0,
    high_freq_factor: 4.0,
    original_max_position_embeddings: 8192,
    rope_type: 'llama3',
  },
  rope_theta: 500000.0,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  vocab_size: 128256,
};
const LLAMA_3_2_1B = {
  ...LLAMA_3_1_8B,
  head_dim: 64,
  hidden_size: 2048,
  intermediate_size: 8192,
  num_hidden_layers: 16,
  rope_scaling: { ...LLAMA_3_1_8B.rope_scaling, factor: 32.0 },
  tie_word_embeddings: true,
};
const MISTRAL_7B_V01 = {
  architectures: ['MistralForCausalLM'],
  hidden_act: 'silu',
  hidden_size: 4096,
  intermediate_size: 14336,
  max_position_embeddings: 32768,
  model_type: 'mistral',
  num_attention_heads: 32,
  num_hidden_layers: 32,
  num_key_value_heads: 8,
  rms_norm_eps: 1e-5,
  rope_theta: 10000.0,
  sliding_window: 4096,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  vocab_size: 32000,
};
const MISTRAL_7B_V03 = { ...MISTRAL_7B_V01, rope_theta: 1000000.0, sliding_window: null, vocab_size: 32768 };
const TINY_LLAMA = {
  architectures: ['LlamaForCausalLM'],
  hidden_act: 'silu',
  hidden_size: 2048,
  intermediate_size: 5632,
  max_position_embeddings: 2048,
  model_type: 'llama',
  num_attention_heads: 32,
  num_hidden_layers: 22,
  num_key_value_heads: 4,
  rms_norm_eps: 1e-5,
  rope_scaling: null,
  tie_word_embeddings: false,
  torch_dtype: 'bfloat16',
  vocab_size: 32000,
};

describe('a published config.json is understood', () => {
  it('Llama-2-7B in full', () => {
    expect(describeModel(LLAMA_2_7B)).toEqual({
      architecture: 'LlamaForCausalLM',
      hiddenSize: 4096,
      intermediateSize: 11008,
      layerCount: 32,
      headCount: 32,
      keyValueHeadCount: 32,
      headDim: 128,
      vocabularySize: 32000,
      rmsNormEpsilon: 1e-5,
      rope: { theta: 10_000, scaling: { type: 'none' } },
      slidingWindow: null,
      maxPositionEmbeddings: 4096,
      tieWordEmbeddings: false,
      attentionBias: false,
      mlpBias: false,
    });
  });

  it('Llama-3.1-8B, its rotary positions scaled', () => {
    const description = describeModel(LLAMA_3_1_8B);
    expect(description).toMatchObject({ headDim: 128, keyValueHeadCount: 8, maxPositionEmbeddings: 131072 });
    expect(description.rope).toEqual({
      theta: 500_000,
      scaling: {
        type: 'llama3',
        factor: 8,
        lowFreqFactor: 1,
        highFreqFactor: 4,
        originalMaxPositionEmbeddings: 8192,
      },
    });
  });

  it('Llama-3.2-1B, its head tied to the embedding', () => {
    expect(describeModel(LLAMA_3_2_1B)).toMatchObject({ tieWordEmbeddings: true, headDim: 64, layerCount: 16 });
  });

  it('Mistral-7B v0.1 with a sliding window, v0.3 without', () => {
    expect(describeModel(MISTRAL_7B_V01)).toMatchObject({ architecture: 'MistralForCausalLM', slidingWindow: 4096 });
    expect(describeModel(MISTRAL_7B_V03)).toMatchObject({ slidingWindow: null, rope: { theta: 1_000_000 } });
    const { sliding_window: _, ...silent } = MISTRAL_7B_V01;
    expect(describeModel(silent).slidingWindow).toBeNull();
  });

  it('TinyLlama, without rope_theta', () => {
    expect(describeModel(TINY_LLAMA)).toMatchObject({
      headDim: 64,
      keyValueHeadCount: 4,
      rope: { theta: 10_000, scaling: { type: 'none' } },
    });
  });

  it('every description survives JSON', () => {
    for (const config of [LLAMA_2_7B, LLAMA_3_1_8B, LLAMA_3_2_1B, MISTRAL_7B_V01, TINY_LLAMA]) {
      const description = describeModel(config);
      expect(JSON.parse(JSON.stringify(description))).toEqual(description);
    }
  });
});

describe('the spellings of one setting mean the same', () => {
  it('rope_scaling.type, of older files', () => {
    const { rope_type: _, ...older } = LLAMA_3_1_8B.rope_scaling;
    expect(describeModel({ ...LLAMA_3_1_8B, rope_scaling: { ...older, type: 'llama3' } })).toEqual(
      describeModel(LLAMA_3_1_8B),
    );
  });

  it('rope_parameters, of transformers 5', () => {
    const { rope_theta, rope_scaling, torch_dtype, ...rest } = LLAMA_3_1_8B;
    const newer = { ...rest, dtype: torch_dtype, rope_parameters: { ...rope_scaling, rope_theta } };
    expect(describeModel(newer)).toEqual(describeModel(LLAMA_3_1_8B));
  });

  it('rope_parameters of the default type', () => {
    const config = { ...TINY_LLAMA, rope_parameters: { rope_theta: 10_000, rope_type: 'default' } };
    expect(describeModel(config)).toEqual(describeModel(TINY_LLAMA));
  });

  it('linear scaling', () => {
    const config = { ...LLAMA_2_7B, rope_scaling: { type: 'linear', factor: 4 } };
    expect(describeModel(config).rope.scaling).toEqual({ type: 'linear', factor: 4 });
  });

  it('num_key_value_heads absent, as in Llama 1', () => {
    const { num_key_value_heads: _, ...older } = LLAMA_2_7B;
    expect(describeModel(older)).toEqual(describeModel(LLAMA_2_7B));
  });

  it('head_dim null', () => {
    expect(describeModel({ ...LLAMA_2_7B, head_dim: null })).toEqual(describeModel(LLAMA_2_7B));
  });

  it('head_dim apart from hidden_size / heads', () => {
    expect(describeModel({ ...MISTRAL_7B_V03, hidden_size: 5120, head_dim: 128 }).headDim).toBe(128);
  });

  it('biases where configured', () => {
    expect(describeModel({ ...LLAMA_2_7B, attention_bias: true, mlp_bias: true })).toMatchObject({
      attentionBias: true,
      mlpBias: true,
    });
  });
});

function refusal(config: Record<string, unknown>): SecateurError {
  try {
    describeModel(config);
  } catch (thrown) {
    if (thrown instanceof SecateurError) return thrown;
  }
  throw new Error('expected a SecateurError');
}

describe('a model that would be computed wrongly is refused, by name', () => {
  it('an architecture, with the list of those supported', () => {
    const error = refusal({ ...LLAMA_2_7B, architectures: ['GemmaForCausalLM'] });
    expect(error.code).toBe('ModelUnsupported');
    expect(error.message).toContain('GemmaForCausalLM');
    for (const name of SUPPORTED_ARCHITECTURES) expect(error.message).toContain(name);
  });

  const rope = LLAMA_3_1_8B.rope_scaling;
  it.each([
    ['hidden_act', { hidden_act: 'gelu' }, 'gelu'],
    ['quantization_config', { quantization_config: { quant_method: 'gptq' } }, 'gptq'],
    ['rope_scaling.rope_type', { rope_scaling: { rope_type: 'yarn', factor: 4 } }, 'yarn'],
    ['rope_scaling.rope_type', { rope_scaling: { type: 'dynamic', factor: 2 } }, 'dynamic'],
    ['rope_parameters.rope_type', { rope_parameters: { rope_type: 'longrope' } }, 'longrope'],
    ['partial_rotary_factor', { partial_rotary_factor: 0.5 }, '0.5'],
  ])('%s: %j', (key, change, found) => {
    const error = refusal({ ...LLAMA_2_7B, ...change });
    expect(error.code).toBe('ModelUnsupported');
    expect(error.details.key).toBe(key);
    expect(error.message).toContain(`config.json: ${key}: `);
    expect(error.message).toContain(found);
  });

  it.each([
    ['architectures', { architectures: [] }],
    ['architectures', { architectures: undefined }],
    ['architectures', { architectures: ['LlamaForCausalLM', 'MistralForCausalLM'] }],
    ['hidden_size', { hidden_size: undefined }],
    ['hidden_size', { hidden_size: '4096' }],
    ['hidden_size', { hidden_size: 0 }],
    ['hidden_size', { hidden_size: 2 ** 40 }],
    ['intermediate_size', { intermediate_size: 1.5 }],
    ['num_hidden_layers', { num_hidden_layers: -1 }],
    ['num_hidden_layers', { num_hidden_layers: 1_000_000 }],
    ['num_attention_heads', { num_attention_heads: 31, num_key_value_heads: 31 }],
    ['num_key_value_heads', { num_key_value_heads: 5 }],
    ['head_dim', { head_dim: 127 }],
    ['vocab_size', { vocab_size: null }],
    ['rms_norm_eps', { rms_norm_eps: 0 }],
    ['rope_theta', { rope_theta: -1 }],
    ['rope_scaling', { rope_scaling: 'linear' }],
    ['rope_scaling.factor', { rope_scaling: { type: 'linear' } }],
    [
      'rope_scaling.original_max_position_embeddings',
      { rope_scaling: { ...rope, original_max_position_embeddings: null } },
    ],
    ['rope_scaling.high_freq_factor', { rope_scaling: { ...rope, high_freq_factor: 1 } }],
    ['tie_word_embeddings', { tie_word_embeddings: 'no' }],
    ['attention_bias', { attention_bias: 1 }],
  ])('a damaged value: %s in %j', (key, change) => {
    const error = refusal({ ...LLAMA_2_7B, ...change });
    expect(error.code).toBe('CheckpointInvalid');
    expect(error.details.key).toBe(key);
    expect(error.message).toContain(`config.json: ${key}: expected `);
    expect(error.message).toContain('; found ');
  });
});
