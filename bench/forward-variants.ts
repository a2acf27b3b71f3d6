/**
 * Sessions that bench/forward.ts and bench/guard.ts time: a decoder layer as the engine runs it, and the matrix product
 * that bounds it.
 *
 * The layer: hidden 1024, 16 heads of 64, 4 key and value heads, intermediate 2816, bf16, statistics and next hidden
 * states, one sample. The ceiling: one float32 product of the layer's largest shape, alone in a graph.
 */
import { join } from 'node:path';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { layerTensors, type ModelDescription } from '../shared/models/family.ts';
import { buildDecoderLayer, LAYER_INPUT } from '../shared/onnx/decoder-layer.ts';
import { DATA_TYPE_OF, GraphBuilder, int } from '../shared/onnx/graph.ts';
import { randomNumbers, writeRandomLayer } from '../test/support/float64-decoder-layer.ts';
import { createSession } from '../worker/engine/session.ts';

const MODEL: ModelDescription = {
  architecture: 'LlamaForCausalLM',
  hiddenSize: 1024,
  intermediateSize: 2816,
  layerCount: 1,
  headCount: 16,
  keyValueHeadCount: 4,
  headDim: 64,
  vocabularySize: 32000,
  rmsNormEpsilon: 1e-5,
  rope: { theta: 10_000, scaling: { type: 'none' } },
  slidingWindow: null,
  maxPositionEmbeddings: 4096,
  tieWordEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
};

export interface ForwardVariant {
  readonly name: string;
  readonly flop: number;
  readonly createMs: number;
  readonly session: InferenceSession;
  readonly feeds: Record<string, Tensor>;
}

async function openVariant(
  name: string,
  flop: number,
  bytes: Uint8Array,
  feeds: Record<string, Tensor>,
  foldCasts: boolean,
  threads: number,
): Promise<ForwardVariant> {
  const started = performance.now();
  const session = await createSession(bytes, { provider: 'cpu', deviceId: 0, threads, foldCasts });
  return { name, flop, createMs: performance.now() - started, session, feeds };
}

/** Multiplications and additions of one sample: 2 for each weight and token, and half of the square of scores, twice. */
function layerFlop(tokens: number): number {
  const weights = layerTensors(MODEL, 0).linears.reduce(
    (sum, linear) => sum + linear.outFeatures * linear.inFeatures,
    0,
  );
  return 2 * tokens * weights + 2 * tokens * tokens * MODEL.headCount * MODEL.headDim;
}

/** x [T, H] times Wᵀ for W [I, H], nothing else. */
function gemmModel(tokens: number): Uint8Array {
  const { hiddenSize, intermediateSize } = MODEL;
  const graph = new GraphBuilder('gemm');
  graph.input('x', DATA_TYPE_OF.F32, [tokens, hiddenSize]);
  graph.float32('weight', [intermediateSize, hiddenSize], randomNumbers(intermediateSize * hiddenSize, 1));
  graph.operator('Gemm', ['x', 'weight'], { attributes: { transB: int(1) }, output: 'y' });
  graph.output('y', DATA_TYPE_OF.F32, [tokens, intermediateSize]);
  return graph.encode();
}

export interface ForwardSettings {
  /** Where the layer's weights are written; they are read while a session is made. */
  readonly folder: string;
  readonly threads: number;
  readonly tokens: number;
}

/** The layer, its casts folded and its weights packed when the session is made (as in a job) or in every run. */
export async function openLayer(settings: ForwardSettings, foldCasts: boolean): Promise<ForwardVariant> {
  const { folder, threads, tokens } = settings;
  const { tensors } = await writeRandomLayer(join(folder, 'layer.bin'), MODEL, 0, ['BF16']);
  const layer = buildDecoderLayer({
    description: MODEL,
    layer: 0,
    tensors,
    sequenceLength: tokens,
    outputs: { statistics: true, hidden: true },
    attention: 'groupQueryAttention',
    computeDtype: 'F32',
  });
  const feeds = { [LAYER_INPUT]: new Tensor('float32', hiddenStates(tokens), [1, tokens, MODEL.hiddenSize]) };
  const name = foldCasts ? 'layer, casts folded, packed' : 'layer, casts in every run';
  return openVariant(name, layerFlop(tokens), layer, feeds, foldCasts, threads);
}

/** The product alone, its weight packed or not. */
export async function openProduct({ threads, tokens }: ForwardSettings, packed: boolean): Promise<ForwardVariant> {
  const { hiddenSize, intermediateSize } = MODEL;
  const feeds = { x: new Tensor('float32', hiddenStates(tokens), [tokens, hiddenSize]) };
  const name = packed ? 'bare Gemm, packed' : 'bare Gemm, not packed';
  return openVariant(name, 2 * tokens * hiddenSize * intermediateSize, gemmModel(tokens), feeds, packed, threads);
}

function hiddenStates(tokens: number): Float32Array {
  return randomNumbers(tokens * MODEL.hiddenSize, 2);
}
