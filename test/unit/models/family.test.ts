import { describe, expect, it } from 'vitest';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { checkTensors, layerTensors, type ModelDescription, outsideTensors } from '../../../shared/models/family.ts';
import type { Dtype } from '../../../shared/safetensors/dtype.ts';

const MODEL: ModelDescription = {
  architecture: 'LlamaForCausalLM',
  hiddenSize: 64,
  intermediateSize: 224,
  layerCount: 2,
  headCount: 4,
  keyValueHeadCount: 2,
  headDim: 32,
  vocabularySize: 512,
  rmsNormEpsilon: 1e-5,
  rope: { theta: 10_000, scaling: { type: 'none' } },
  slidingWindow: null,
  maxPositionEmbeddings: 128,
  tieWordEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
};

function locate(name: string, shape: readonly number[], dtype: Dtype = 'BF16'): TensorLocation {
  return { name, dtype, shape, file: '/model.safetensors', offset: 8, sizeBytes: 0 };
}

/** A checkpoint that holds exactly what the description asks for. */
function complete(description: ModelDescription): Map<string, TensorLocation> {
  const tensors = new Map<string, TensorLocation>();
  const put = ({ name, shape }: { name: string; shape: readonly number[] }): void => {
    tensors.set(name, locate(name, shape));
  };
  outsideTensors(description).forEach(put);
  for (let layer = 0; layer < description.layerCount; layer++) {
    const { linears, others } = layerTensors(description, layer);
    others.forEach(put);
    for (const { name, outFeatures, inFeatures } of linears) put({ name, shape: [outFeatures, inFeatures] });
  }
  return tensors;
}

function problemsOf(description: ModelDescription, tensors: ReadonlyMap<string, TensorLocation>): readonly string[] {
  try {
    checkTensors(description, tensors);
  } catch (thrown) {
    if (!(thrown instanceof SecateurError)) throw thrown;
    expect(thrown.code).toBe('CheckpointInvalid');
    return thrown.details.problems as readonly string[];
  }
  return [];
}

describe('the tensors of a layer', () => {
  it('have the names and shapes of the checkpoint, in the order of computation', () => {
    expect(
      layerTensors(MODEL, 1).linears.map(({ name, outFeatures, inFeatures }) => [name, outFeatures, inFeatures]),
    ).toEqual([
      ['model.layers.1.self_attn.q_proj.weight', 128, 64],
      ['model.layers.1.self_attn.k_proj.weight', 64, 64],
      ['model.layers.1.self_attn.v_proj.weight', 64, 64],
      ['model.layers.1.self_attn.o_proj.weight', 64, 128],
      ['model.layers.1.mlp.gate_proj.weight', 224, 64],
      ['model.layers.1.mlp.up_proj.weight', 224, 64],
      ['model.layers.1.mlp.down_proj.weight', 64, 224],
    ]);
  });

  it('share four statistics', () => {
    expect(layerTensors(MODEL, 0).linears.map(({ linear, statistic }) => [linear, statistic])).toEqual([
      ['self_attn.q_proj', 'attentionInput'],
      ['self_attn.k_proj', 'attentionInput'],
      ['self_attn.v_proj', 'attentionInput'],
      ['self_attn.o_proj', 'attentionOutput'],
      ['mlp.gate_proj', 'mlpInput'],
      ['mlp.up_proj', 'mlpInput'],
      ['mlp.down_proj', 'mlpActivation'],
    ]);
  });

  it('have biases only where configured', () => {
    expect(layerTensors(MODEL, 0).others.map(({ name }) => name)).toEqual([
      'model.layers.0.input_layernorm.weight',
      'model.layers.0.post_attention_layernorm.weight',
    ]);
    const biased = layerTensors({ ...MODEL, attentionBias: true, mlpBias: true }, 0).others;
    expect(biased.slice(2)).toEqual([
      { name: 'model.layers.0.self_attn.q_proj.bias', shape: [128] },
      { name: 'model.layers.0.self_attn.k_proj.bias', shape: [64] },
      { name: 'model.layers.0.self_attn.v_proj.bias', shape: [64] },
      { name: 'model.layers.0.self_attn.o_proj.bias', shape: [64] },
      { name: 'model.layers.0.mlp.gate_proj.bias', shape: [224] },
      { name: 'model.layers.0.mlp.up_proj.bias', shape: [224] },
      { name: 'model.layers.0.mlp.down_proj.bias', shape: [64] },
    ]);
  });

  it('outside the layers, a tied head has none', () => {
    expect(outsideTensors(MODEL).map(({ name }) => name)).toContain('lm_head.weight');
    expect(outsideTensors({ ...MODEL, tieWordEmbeddings: true }).map(({ name }) => name)).not.toContain(
      'lm_head.weight',
    );
  });
});

describe('a checkpoint is checked against its configuration', () => {
  it('a complete one passes, whatever its mixture of types', () => {
    const tensors = complete(MODEL);
    const dtypes: readonly Dtype[] = ['F32', 'F16', 'BF16'];
    for (const [index, [name, tensor]] of [...tensors].entries()) {
      tensors.set(name, { ...tensor, dtype: dtypes[index % 3] as Dtype });
    }
    expect(checkTensors(MODEL, tensors)).toEqual({ extra: [] });
  });

  it('tensors of no known use are listed, not refused', () => {
    const tensors = complete({ ...MODEL, tieWordEmbeddings: true });
    for (const name of ['model.layers.1.self_attn.rotary_emb.inv_freq', 'lm_head.weight']) {
      tensors.set(name, locate(name, [1], 'I64'));
    }
    expect(checkTensors({ ...MODEL, tieWordEmbeddings: true }, tensors).extra).toEqual([
      'lm_head.weight',
      'model.layers.1.self_attn.rotary_emb.inv_freq',
    ]);
  });

  it('all problems come in one error', () => {
    const tensors = complete(MODEL);
    tensors.delete('model.norm.weight');
    tensors.set('model.layers.0.mlp.up_proj.weight', locate('model.layers.0.mlp.up_proj.weight', [64, 224]));
    tensors.set('model.layers.1.mlp.up_proj.weight', locate('model.layers.1.mlp.up_proj.weight', [224, 64], 'F8_E4M3'));
    expect(problemsOf(MODEL, tensors)).toEqual([
      'model.norm.weight: missing, expected shape [64]',
      'model.layers.0.mlp.up_proj.weight: expected shape [224, 64], found [64, 224]',
      'model.layers.1.mlp.up_proj.weight: expected F32, F16 or BF16, found F8_E4M3',
    ]);
  });

  it('configured biases and an untied head are asked for', () => {
    const tensors = complete({ ...MODEL, tieWordEmbeddings: true });
    expect(problemsOf({ ...MODEL, mlpBias: true }, tensors)).toHaveLength(1 + 2 * 3);
  });

  it('a message stays readable where everything is missing', () => {
    expect(problemsOf(MODEL, new Map())).toHaveLength(3 + 2 * 9);
    expect(() => checkTensors(MODEL, new Map())).toThrow(/and 1 more\. Check that config\.json belongs/);
  });
});
