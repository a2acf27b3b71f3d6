/**
 * How fast a decoder layer runs on the CPU, beside the matrix product that bounds it.
 *
 *   npx node bench/forward.ts [--hidden 1024] [--intermediate 2816] [--threads 1] [--tokens 2048] [--rounds 7] [--json]
 *
 * The layer: heads of 64, a quarter as many key and value heads, bf16, statistics and next hidden states, one sample. The ceiling: one float32 product of the layer's largest shape, alone in a graph, its weight packed
 * or not. The variants take turns in every round, so that a busy machine slows all of them; the best round counts, and
 * the median tells how quiet it was. Counted are the products of the linears and of causal attention, nothing else.
 */
import { spawnSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { type InferenceSession, Tensor } from 'onnxruntime-node';
import { layerTensors, type ModelDescription } from '../shared/models/family.ts';
import { buildDecoderLayer, LAYER_INPUT } from '../shared/onnx/decoder-layer.ts';
import { DATA_TYPE_OF, GraphBuilder, int } from '../shared/onnx/graph.ts';
import { randomNumbers, writeRandomLayer } from '../test/support/float64-decoder-layer.ts';
import { ENGINE_ENVIRONMENT } from '../worker/engine/environment.ts';
import { createSession } from '../worker/engine/session.ts';

const HEAD_DIM = 64;

function modelOf(hiddenSize: number, intermediateSize: number): ModelDescription {
  const headCount = hiddenSize / HEAD_DIM;
  return { ...MODEL, hiddenSize, intermediateSize, headCount, keyValueHeadCount: headCount / 4 };
}

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

interface Variant {
  readonly name: string;
  readonly flop: number;
  readonly createMs: number;
  readonly session: InferenceSession;
  readonly feeds: Record<string, Tensor>;
  readonly runMs: number[];
}

interface Settings {
  readonly model: ModelDescription;
  readonly threads: number;
  readonly tokens: number;
  readonly rounds: number;
}

async function openVariant(
  name: string,
  flop: number,
  bytes: Uint8Array,
  feeds: Record<string, Tensor>,
  foldCasts: boolean,
  threads: number,
): Promise<Variant> {
  const started = performance.now();
  const session = await createSession(bytes, { provider: 'cpu', deviceId: 0, threads, foldCasts });
  return { name, flop, createMs: performance.now() - started, session, feeds, runMs: [] };
}

/** Multiplications and additions of one sample: 2 for each weight and token, and half of the square of scores, twice. */
function layerFlop({ model, tokens }: Settings): number {
  const weights = layerTensors(model, 0).linears.reduce(
    (sum, linear) => sum + linear.outFeatures * linear.inFeatures,
    0,
  );
  return 2 * tokens * weights + 2 * tokens * tokens * model.headCount * model.headDim;
}

/** x [T, H] times Wᵀ for W [I, H], nothing else. */
function gemmModel({ model, tokens }: Settings): Uint8Array {
  const { hiddenSize, intermediateSize } = model;
  const graph = new GraphBuilder('gemm');
  graph.input('x', DATA_TYPE_OF.F32, [tokens, hiddenSize]);
  graph.float32('weight', [intermediateSize, hiddenSize], randomNumbers(intermediateSize * hiddenSize, 1));
  graph.operator('Gemm', ['x', 'weight'], { attributes: { transB: int(1) }, output: 'y' });
  graph.output('y', DATA_TYPE_OF.F32, [tokens, intermediateSize]);
  return graph.encode();
}

async function openVariants(folder: string, settings: Settings): Promise<Variant[]> {
  const { model, threads, tokens } = settings;
  const { hiddenSize, intermediateSize } = model;
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
  const hidden = randomNumbers(tokens * hiddenSize, 2);
  const layerFeeds = { [LAYER_INPUT]: new Tensor('float32', hidden, [1, tokens, hiddenSize]) };
  const gemmFeeds = { x: new Tensor('float32', hidden, [tokens, hiddenSize]) };
  const gemmFlop = 2 * tokens * hiddenSize * intermediateSize;
  const flop = layerFlop(settings);
  return [
    await openVariant('layer, casts folded, packed', flop, layer, layerFeeds, true, threads),
    await openVariant('layer, casts in every run', flop, layer, layerFeeds, false, threads),
    await openVariant('bare Gemm, packed', gemmFlop, gemmModel(settings), gemmFeeds, true, threads),
    await openVariant('bare Gemm, not packed', gemmFlop, gemmModel(settings), gemmFeeds, false, threads),
  ];
}

async function measure(
  settings: Settings,
): Promise<{ name: string; createMs: number; best: number; median: number }[]> {
  const folder = await mkdtemp(join(tmpdir(), 'secateur-bench-'));
  try {
    const variants = await openVariants(folder, settings);
    for (let round = 0; round <= settings.rounds; round++) {
      for (const { session, feeds, runMs } of variants) {
        const started = performance.now();
        await session.run(feeds);
        // The first round warms caches and the file's pages.
        if (round > 0) runMs.push(performance.now() - started);
      }
    }
    for (const { session } of variants) await session.release();
    return variants.map(({ name, flop, createMs, runMs }) => {
      const sorted = runMs.toSorted((a, b) => a - b);
      const gflopPerS = (ms: number): number => flop / ms / 1e6;
      return {
        name,
        createMs,
        best: gflopPerS(sorted[0] as number),
        median: gflopPerS(sorted[Math.floor(sorted.length / 2)] as number),
      };
    });
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

// As the engine runs it: its environment must be there before the process begins.
if (process.env.MALLOC_MMAP_THRESHOLD_ === undefined) {
  const again = spawnSync(process.execPath, process.argv.slice(1), {
    env: { ...process.env, ...ENGINE_ENVIRONMENT },
    stdio: 'inherit',
  });
  process.exit(again.status ?? 1);
}

const { values } = parseArgs({
  options: {
    hidden: { type: 'string', default: '1024' },
    intermediate: { type: 'string', default: '2816' },
    threads: { type: 'string', default: '1' },
    tokens: { type: 'string', default: '2048' },
    rounds: { type: 'string', default: '7' },
    json: { type: 'boolean', default: false },
  },
});
const [hidden, intermediate] = [Number(values.hidden), Number(values.intermediate)];
const model = modelOf(hidden, intermediate);
const settings = {
  model,
  threads: Number(values.threads),
  tokens: Number(values.tokens),
  rounds: Number(values.rounds),
};
const results = await measure(settings);
const cpu = cpus()[0]?.model.trim() ?? 'unknown';
if (values.json) {
  process.stdout.write(
    `${JSON.stringify({ benchmark: 'forward', cpu, hidden, intermediate, ...settings, results })}\n`,
  );
} else {
  process.stdout.write(
    `${cpu}, hidden ${hidden}, intermediate ${intermediate}, ${settings.threads} thread(s), ${settings.tokens} tokens, ${settings.rounds} rounds\n\n`,
  );
  process.stdout.write('| variant | create ms | best GFLOP/s | median GFLOP/s |\n|---|---|---|---|\n');
  for (const { name, createMs, best, median } of results) {
    process.stdout.write(`| ${name} | ${createMs.toFixed(0)} | ${best.toFixed(0)} | ${median.toFixed(0)} |\n`);
  }
}
