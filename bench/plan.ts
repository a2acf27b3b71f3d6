/**
 * What plans are made with, and how near they come.
 *
 *     npx node bench/plan.ts [--workers 1,2] [--json]
 *
 * First the constants of coordinator/core/layer-times.ts that can be measured alone: creating a layer's session a weight,
 * calling the runtime once, SHA-256. Then runs on a synthetic model (hidden 2048, 4 layers, 16 samples of 512 tokens, one
 * thread a worker), each with the prediction and the measurement of its secateur.json.
 */
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { layerTensors, type ModelDescription } from '../shared/models/family.ts';
import { buildDecoderLayer } from '../shared/onnx/decoder-layer.ts';
import { writeRandomLayer } from '../test/support/float64-decoder-layer.ts';
import { createLayerSession } from '../worker/engine/session.ts';
import { rerunAsEngine } from './rerun-as-engine.ts';
import { writeModel } from './synthetic-model.ts';

const LAUNCHER = fileURLToPath(new URL('../cli/secateur.js', import.meta.url));
const SHAPE = { hidden: 2048, intermediate: 5504, heads: 16, layers: 4, samples: 16, sequence: 512 };
const DIGESTED_BYTES = 256 * 1024 * 1024;
const RUNS = 200;

function modelOf(hiddenSize: number, intermediateSize: number): ModelDescription {
  return {
    architecture: 'LlamaForCausalLM',
    hiddenSize,
    intermediateSize,
    layerCount: 1,
    headCount: hiddenSize / 64,
    keyValueHeadCount: hiddenSize / 64,
    headDim: 64,
    vocabularySize: 512,
    rmsNormEpsilon: 1e-5,
    rope: { theta: 10_000, scaling: { type: 'none' } },
    slidingWindow: null,
    maxPositionEmbeddings: 4096,
    tieWordEmbeddings: false,
    attentionBias: false,
    mlpBias: false,
  };
}

async function sessionOf(folder: string, model: ModelDescription, sequenceLength: number, threads: number) {
  const { tensors } = await writeRandomLayer(join(folder, `layer-${model.hiddenSize}.bin`), model, 0, ['BF16']);
  const bytes = buildDecoderLayer({
    description: model,
    layer: 0,
    tensors,
    sequenceLength,
    outputs: { statistics: true, hidden: true },
    attention: 'groupQueryAttention',
    computeDtype: 'F32',
  });
  const started = performance.now();
  const session = await createLayerSession(bytes, { provider: 'cpu', deviceId: 0, threads, foldCasts: true });
  return { session, createMs: performance.now() - started };
}

/** Nanoseconds a weight, for layers of three sizes and one or two threads. */
async function measurePacking(folder: string): Promise<{ hidden: number; threads: number; nsPerWeight: number }[]> {
  const found = [];
  for (const [hidden, intermediate] of [
    [1024, 2816],
    [2048, 5504],
    [4096, 11008],
  ] as const) {
    const model = modelOf(hidden, intermediate);
    const weights = layerTensors(model, 0).linears.reduce((sum, each) => sum + each.outFeatures * each.inFeatures, 0);
    for (const threads of [1, 2]) {
      const { session, createMs } = await sessionOf(folder, model, 512, threads);
      await session.release();
      found.push({ hidden, threads, nsPerWeight: (createMs * 1e6) / weights });
    }
  }
  return found;
}

/** One run of a layer that is so small that it computes nothing to speak of. */
async function measureRun(folder: string): Promise<number> {
  const { session } = await sessionOf(folder, modelOf(64, 128), 16, 1);
  const hidden = new Float32Array(16 * 64).fill(0.5);
  const started = performance.now();
  for (let run = 0; run < RUNS; run++) await session.run(hidden, [1, 16, 64]);
  const ms = (performance.now() - started) / RUNS;
  await session.release();
  return ms;
}

function measureDigest(): number {
  const bytes = Buffer.alloc(DIGESTED_BYTES, 7);
  const started = performance.now();
  createHash('sha256').update(bytes).digest();
  return DIGESTED_BYTES / ((performance.now() - started) / 1000);
}

interface Parts {
  readonly totalMs: number;
  readonly computeMs: number;
  readonly pruneMs: number;
}

function runJob(folder: string, workers: number): { prediction: Parts; measurement: Parts } {
  const out = join(folder, `out-${workers}`);
  const manifest = {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: 'plan' },
    spec: {
      model: { source: folder },
      output: { destination: out },
      calibration: { tokens: join(folder, 'ids.safetensors') },
      pruning: { method: 'wanda', sparsity: 0.5 },
    },
  };
  const file = join(folder, `job-${workers}.yaml`);
  writeFileSync(file, JSON.stringify(manifest));
  const options = ['--workers', String(workers), '--threads', '1', '--state', join(folder, `state-${workers}`)];
  const { status, stderr } = spawnSync(process.execPath, [LAUNCHER, 'run', file, ...options], { encoding: 'utf8' });
  if (status !== 0) throw new Error(`the run ended with exit code ${status}: ${stderr}`);
  return JSON.parse(readFileSync(join(out, 'secateur.json'), 'utf8')) as { prediction: Parts; measurement: Parts };
}

rerunAsEngine();

const { values } = parseArgs({
  options: { workers: { type: 'string', default: '1,2' }, json: { type: 'boolean', default: false } },
});
const folder = mkdtempSync(join(tmpdir(), 'secateur-plan-'));
try {
  const packing = await measurePacking(folder);
  const runMs = await measureRun(folder);
  const digestBytesPerSecond = measureDigest();
  await writeModel(folder, SHAPE);
  const runs = values.workers.split(',').map((workers) => ({ ...runJob(folder, Number(workers)), workers }));
  const parts = runs.map(({ workers, prediction, measurement }) => ({ workers, prediction, measurement }));
  if (values.json) {
    console.log(JSON.stringify({ benchmark: 'plan', packing, runMs, digestBytesPerSecond, runs: parts }));
  } else {
    console.log(
      `${cpus()[0]?.model.trim()}\n\n| layer's width | threads | ns a weight to create its session |\n|---|---|---|`,
    );
    for (const { hidden, threads, nsPerWeight } of packing)
      console.log(`| ${hidden} | ${threads} | ${nsPerWeight.toFixed(1)} |`);
    console.log(`\none run of a tiny layer: ${runMs.toFixed(2)} ms`);
    console.log(`SHA-256: ${(digestBytesPerSecond / 1e9).toFixed(2)} GB/s`);
    console.log('\n| workers | | predicted | measured |\n|---|---|---|---|');
    for (const { workers, prediction, measurement } of parts) {
      for (const part of ['totalMs', 'computeMs', 'pruneMs'] as const)
        console.log(
          `| ${workers} | ${part} | ${(prediction[part] / 1000).toFixed(1)} s | ${(measurement[part] / 1000).toFixed(1)} s |`,
        );
    }
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
