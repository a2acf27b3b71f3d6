/**
 * The ONNX model behind the last decoder layer: final norm, lm_head, and how likely each next token is.
 *
 * T tokens (known only when the model runs), H hidden size, V vocabulary.
 *   input   `hidden`  float32 [T, H]
 *   input   `target`  int64 [T, 1]: the token that follows each
 *   output  `nll`     float32 [T, 1]: its negative log likelihood, -log softmax(lm_head(norm(hidden)))[target]
 *
 * With a computeDtype of 16 bits the logits are rounded to it, as transformers does; their softmax is float32.
 *
 * The logits [T, V] are the largest value of the whole model: whoever runs it cuts T.
 */
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { invariant } from '../errors/secateur-error.ts';
import type { ModelDescription } from '../models/family.ts';
import type { FloatDtype } from '../safetensors/dtype.ts';
import { DATA_TYPE_OF, float, GraphBuilder, int } from './graph.ts';
import { DATA_TYPE } from './model-proto.ts';
import { addParameter } from './parameter.ts';

export const HEAD_INPUT = 'hidden';
export const HEAD_TARGET = 'target';
export const HEAD_OUTPUT = 'nll';

const FINAL_NORM = 'model.norm.weight';
const EMBEDDING = 'model.embed_tokens.weight';
const LM_HEAD = 'lm_head.weight';

/** Names of the tensors that the head reads; a tied lm_head is the embedding. */
export function headTensorNames({ tieWordEmbeddings }: Pick<ModelDescription, 'tieWordEmbeddings'>): readonly string[] {
  return [FINAL_NORM, tieWordEmbeddings ? EMBEDDING : LM_HEAD];
}

/**
 * Bytes of the head's ONNX model.
 *
 * @param tensors at least headTensorNames(description); absolute, resolved paths
 * @throws CheckpointInvalid where a tensor is missing, or of a type or shape that does not fit the description
 */
export function buildLanguageHead(
  description: ModelDescription,
  tensors: ReadonlyMap<string, TensorLocation>,
  computeDtype: FloatDtype,
): Uint8Array {
  const { hiddenSize, vocabularySize, rmsNormEpsilon } = description;
  const [normName, headName] = headTensorNames(description);
  invariant(normName !== undefined && headName !== undefined, 'the head has two tensors');
  const graph = new GraphBuilder('language_head');
  const hidden = graph.input(HEAD_INPUT, DATA_TYPE.FLOAT, ['tokens', hiddenSize]);
  const target = graph.input(HEAD_TARGET, DATA_TYPE.INT64, ['tokens', 1]);
  const parameter = (name: string, shape: readonly number[]): string =>
    addParameter(graph, tensors, { name, shape, computeDtype });
  const norm = parameter(normName, [hiddenSize]);
  const head = parameter(headName, [vocabularySize, hiddenSize]);
  const states = computeDtype === 'F32' ? hidden : graph.cast(hidden, DATA_TYPE_OF[computeDtype]);
  const normed = graph.operator('SimplifiedLayerNormalization', [states, norm], {
    attributes: { axis: int(-1), epsilon: float(rmsNormEpsilon), stash_type: int(1) },
  });
  const logits = graph.operator('Gemm', [normed, head], { attributes: { transB: int(1) } });
  const float32 = computeDtype === 'F32' ? logits : graph.cast(logits, DATA_TYPE.FLOAT);
  const logLikelihoods = graph.operator('LogSoftmax', [float32], { attributes: { axis: int(-1) } });
  const chosen = graph.operator('GatherElements', [logLikelihoods, target], { attributes: { axis: int(1) } });
  graph.operator('Neg', [chosen], { output: HEAD_OUTPUT });
  graph.output(HEAD_OUTPUT, DATA_TYPE.FLOAT, ['tokens', 1]);
  return graph.encode();
}
