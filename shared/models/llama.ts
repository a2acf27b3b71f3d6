/** LlamaForCausalLM: Llama 1 to 3.x, TinyLlama, Vicuna and their kin. */
import { flag } from './config-fields.ts';
import type { ModelFamily } from './family.ts';
import { describeLlamaShape } from './llama-shape.ts';

export const LLAMA: ModelFamily = {
  architecture: 'LlamaForCausalLM',
  describe: (config) => ({
    ...describeLlamaShape('LlamaForCausalLM', config, { maxPositionEmbeddings: 2048 }),
    slidingWindow: null,
    attentionBias: flag(config, 'attention_bias', false),
    mlpBias: flag(config, 'mlp_bias', false),
  }),
};
