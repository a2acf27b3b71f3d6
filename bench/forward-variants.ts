/**
 * Sessions that bench/forward.ts and bench/guard.ts time: a decoder layer as the engine runs it, and the matrix product
 * that bounds it.
 *
 * The layer: heads of 64, a quarter as many key and value heads, bf16, statistics and next hidden states, one sample. The ceiling: one float32 product of the layer's largest shape, alone in a graph.
 */
import { join } from 'node:path';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { layerTensors, type ModelDescription } from '../shared/models/family.ts';
import { buildDecoderLayer, LAYER_INPUT } from '../shared/onnx/decoder-layer.ts';
import { DATA_TYPE_OF, GraphBuilder, int } from '../shared/onnx/graph.ts';
import { randomNumbers, writeRandomLayer } from '../test/support/float64-decoder-layer.ts';
import { createSession } from '../worker/engine/session.ts';

const HEAD_DIM = 64;
const MODEL = {
  architecture: 'LlamaForCausalLM',
  layerCount: 1,
  headDim: HEAD_DIM,
  vocabularySize: 32000,
  rmsNormEpsilon: 1e-5,
  rope: { theta: 10_000, scaling: { type: 'none' } },
  slidingWindow: null,
  maxPositionEmbeddings: 4096,
  tieWordEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
} as const;

function modelOf({ hidden, intermediate }: ForwardSettings): ModelDescription {
  const headCount = hidden / HEAD_DIM;
  return {
    ...MODEL,
    hiddenSize: hidden,
    intermediateSize: intermediate,
    headCount,
    keyValueHeadCount: Math.max(1, headCount / 4),
  };
}

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
function layerFlop(model: ModelDescription, tokens: number): number {
  const weights = layerTensors(model, 0).linears.reduce(
    (sum, linear) => sum + linear.outFeatures * linear.inFeatures,
    0,
  );
  return 2 * tokens * weights + 2 * tokens * tokens * model.headCount * model.headDim;
}

/** x [T, H] times Wᵀ for W [I, H], nothing else. */
function gemmModel({ hiddenSize, intermediateSize }: ModelDescription, tokens: number): Uint8Array {
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
  readonly hidden: number;
  readonly intermediate: number;
  readonly threads: number;
  readonly tokens: number;
}

/** The layer, its casts folded and its weights packed when the session is made (as in a job) or in every run. */
export async function openLayer(settings: ForwardSettings, foldCasts: boolean): Promise<ForwardVariant> {
  const { folder, threads, tokens } = settings;
  const model = modelOf(settings);
  const { tensors } = await writeRandomLayer(join(folder, 'layer.bin'), model, 0, ['BF16']);
  const layer = buildDecoderLayer({
    description: model,
    layer: 0,
    tensors,
    sequenceLength: tokens,
    outputs: { statistics: true, hidden: true },
    attention: 'groupQueryAttention',
    computeDtype: 'F32',
  });
  const feeds = { [LAYER_INPUT]: new Tensor('float32', hiddenStates(settings), [1, tokens, model.hiddenSize]) };
  const name = foldCasts ? 'layer, casts folded, packed' : 'layer, casts in every run';
  return openVariant(name, layerFlop(model, tokens), layer, feeds, foldCasts, threads);
}

/** The product alone, its weight packed or not. */
export async function openProduct(settings: ForwardSettings, packed: boolean): Promise<ForwardVariant> {
  const { hidden, intermediate, threads, tokens } = settings;
  const feeds = { x: new Tensor('float32', hiddenStates(settings), [tokens, hidden]) };
  const name = packed ? 'bare Gemm, packed' : 'bare Gemm, not packed';
  return openVariant(
    name,
    2 * tokens * hidden * intermediate,
    gemmModel(modelOf(settings), tokens),
    feeds,
    packed,
    threads,
  );
}

function hiddenStates({ tokens, hidden }: ForwardSettings): Float32Array {
  return randomNumbers(tokens * hidden, 2);
}
