/**
 * What secateur must know of a model: its dimensions, how its decoder layers compute, and the names of its tensors.
 *
 * A ModelFamily turns a config.json into a ModelDescription; everything after that (tensor names, checks, the ONNX
 * graph) reads only the description. A further family with this decoder layer is therefore one file beside llama.ts and
 * one line in registry.ts. The decoder layer described is LLaMA's: RMSNorm, rotary attention with grouped key and
 * value heads, residual, RMSNorm, SwiGLU, residual.
 */
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { SecateurError } from '../errors/secateur-error.ts';
import { isFloatDtype } from '../safetensors/dtype.ts';

/** Problems that a message spells out; all of them stand in the error's details. */
const PROBLEMS_SHOWN_MAX = 20;

/** How rotary frequencies are stretched beyond the context that the model was trained for. */
export type RopeScaling =
  | { readonly type: 'none' }
  | { readonly type: 'linear'; readonly factor: number }
  | {
      readonly type: 'llama3';
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositionEmbeddings: number;
    };

/** Plain data: it travels as JSON and stands in the job's provenance. */
export interface ModelDescription {
  readonly architecture: string;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layerCount: number;
  readonly headCount: number;
  readonly keyValueHeadCount: number;
  readonly headDim: number;
  readonly vocabularySize: number;
  readonly rmsNormEpsilon: number;
  readonly rope: { readonly theta: number; readonly scaling: RopeScaling };
  /** Keys that a query sees, itself included; null is every earlier one. */
  readonly slidingWindow: number | null;
  readonly maxPositionEmbeddings: number;
  readonly tieWordEmbeddings: boolean;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
}

export interface ModelFamily {
  /** As config.json's `architectures` names it. */
  readonly architecture: string;
  /** @throws CheckpointInvalid for a malformed value, ModelUnsupported for a feature that secateur lacks */
  describe(config: Readonly<Record<string, unknown>>): ModelDescription;
}

/**
 * The four distinct inputs of a decoder layer's seven linears, in the order in which they are computed. q, k and v
 * share attentionInput, gate and up share mlpInput.
 */
export const STATISTICS = ['attentionInput', 'attentionOutput', 'mlpInput', 'mlpActivation'] as const;

export type Statistic = (typeof STATISTICS)[number];

interface LinearTensor {
  /** Full name in the checkpoint: model.layers.3.mlp.down_proj.weight */
  readonly name: string;
  /** Name inside the layer: mlp.down_proj */
  readonly linear: string;
  readonly statistic: Statistic;
  readonly outFeatures: number;
  readonly inFeatures: number;
}

export interface PlainTensor {
  readonly name: string;
  readonly shape: readonly number[];
}

export interface LayerTensors {
  /** Weights [O, I], in the order in which they are computed. */
  readonly linears: readonly LinearTensor[];
  /** Norms, and biases where configured: carried over as they are. */
  readonly others: readonly PlainTensor[];
}

/** Width of each statistic: the input features of the linears that share it. */
export function statisticWidth(description: ModelDescription, statistic: Statistic): number {
  switch (statistic) {
    case 'attentionInput':
    case 'mlpInput':
      return description.hiddenSize;
    case 'attentionOutput':
      return description.headCount * description.headDim;
    case 'mlpActivation':
      return description.intermediateSize;
  }
}

/** Names and shapes of one decoder layer's tensors, as Hugging Face names them. */
export function layerTensors(description: ModelDescription, layer: number): LayerTensors {
  const { hiddenSize, intermediateSize } = description;
  const prefix = `model.layers.${layer}.`;
  const queryWidth = description.headCount * description.headDim;
  const keyWidth = description.keyValueHeadCount * description.headDim;
  const linears = (
    [
      ['self_attn.q_proj', 'attentionInput', queryWidth],
      ['self_attn.k_proj', 'attentionInput', keyWidth],
      ['self_attn.v_proj', 'attentionInput', keyWidth],
      ['self_attn.o_proj', 'attentionOutput', hiddenSize],
      ['mlp.gate_proj', 'mlpInput', intermediateSize],
      ['mlp.up_proj', 'mlpInput', intermediateSize],
      ['mlp.down_proj', 'mlpActivation', hiddenSize],
    ] as const
  ).map(([linear, statistic, outFeatures]) => ({
    name: `${prefix}${linear}.weight`,
    linear,
    statistic,
    outFeatures,
    inFeatures: statisticWidth(description, statistic),
  }));
  const biases = linears
    .filter(({ linear }) => (linear.startsWith('mlp.') ? description.mlpBias : description.attentionBias))
    .map(({ linear, outFeatures }) => ({ name: `${prefix}${linear}.bias`, shape: [outFeatures] }));
  const norms = ['input_layernorm.weight', 'post_attention_layernorm.weight'].map((name) => ({
    name: `${prefix}${name}`,
    shape: [hiddenSize],
  }));
  return { linears, others: [...norms, ...biases] };
}

/** Names and shapes of the tensors outside the decoder layers. A tied lm_head is the embedding and has no tensor. */
export function outsideTensors(description: ModelDescription): readonly PlainTensor[] {
  const { vocabularySize, hiddenSize, tieWordEmbeddings } = description;
  return [
    { name: 'model.embed_tokens.weight', shape: [vocabularySize, hiddenSize] },
    { name: 'model.norm.weight', shape: [hiddenSize] },
    ...(tieWordEmbeddings ? [] : [{ name: 'lm_head.weight', shape: [vocabularySize, hiddenSize] }]),
  ];
}

/**
 * Every tensor of the description is there, with its shape, as F32, F16 or BF16 (which may differ from tensor to
 * tensor).
 *
 * @returns the names that the description does not know, sorted (such as rotary_emb.inv_freq): they are carried over
 * @throws CheckpointInvalid with all problems at once
 */
export function checkTensors(
  description: ModelDescription,
  tensors: ReadonlyMap<string, TensorLocation>,
): { readonly extra: readonly string[] } {
  const expected = expectedTensors(description);
  const problems = expected.flatMap((tensor) => problemsOf(tensor, tensors.get(tensor.name)));
  if (problems.length > 0) {
    const shown = problems.slice(0, PROBLEMS_SHOWN_MAX);
    const rest = problems.length - shown.length;
    throw new SecateurError(
      'CheckpointInvalid',
      `the checkpoint does not hold the ${description.architecture} that its config.json describes ` +
        `(${description.layerCount} layers, hidden_size ${description.hiddenSize}): ${shown.join('; ')}` +
        `${rest > 0 ? `; and ${rest} more` : ''}. Check that config.json belongs to these shards and that all of them are there.`,
      { details: { architecture: description.architecture, problems } },
    );
  }
  const known = new Set(expected.map((tensor) => tensor.name));
  return { extra: [...tensors.keys()].filter((name) => !known.has(name)).sort() };
}

function expectedTensors(description: ModelDescription): PlainTensor[] {
  const layers = Array.from({ length: description.layerCount }, (_, layer) => {
    const { linears, others } = layerTensors(description, layer);
    return [
      ...linears.map(({ name, outFeatures, inFeatures }) => ({ name, shape: [outFeatures, inFeatures] })),
      ...others,
    ];
  });
  return [...outsideTensors(description), ...layers.flat()];
}

function problemsOf(expected: PlainTensor, found: TensorLocation | undefined): string[] {
  if (found === undefined) return [`${expected.name}: missing, expected shape [${expected.shape.join(', ')}]`];
  const problems: string[] = [];
  if (found.shape.join() !== expected.shape.join()) {
    problems.push(`${expected.name}: expected shape [${expected.shape.join(', ')}], found [${found.shape.join(', ')}]`);
  }
  if (!isFloatDtype(found.dtype)) {
    problems.push(`${expected.name}: expected F32, F16 or BF16, found ${found.dtype}`);
  }
  return problems;
}
