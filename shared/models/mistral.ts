/** MistralForCausalLM: Mistral 7B v0.1 (sliding window) to v0.3 (none), and their kin. Its linears have no biases. */
import { positiveInteger } from './config-fields.ts';
import type { ModelFamily } from './family.ts';
import { describeLlamaShape } from './llama-shape.ts';

export const MISTRAL: ModelFamily = {
  architecture: 'MistralForCausalLM',
  describe: (config) => ({
    ...describeLlamaShape('MistralForCausalLM', config, { maxPositionEmbeddings: 131_072 }),
    // transformers always writes this key, null for full attention: an absent one is read as null.
    slidingWindow:
      config.sliding_window === undefined || config.sliding_window === null
        ? null
        : positiveInteger(config, 'sliding_window'),
    attentionBias: false,
    mlpBias: false,
  }),
};
