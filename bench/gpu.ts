/**
 * How fast one worker's engine computes layers of LLaMA's shapes on a CUDA device, beside a bare product of matrices.
 *
 *   npm run bench:gpu -- [--shapes llama-7b,llama-65b] [--layers 3] [--tokens 262144] [--sequence 2048] [--microbatch 1]
 *                        [--provider cuda|cpu] [--device 0] [--threads 2] [--json]
 *
 * Each layer (synthetic, BF16) is calibrated, then run forward, as in a job with `propagate: pruned` (gpu-passes.ts). The
 * ceiling is a chain of products of the type that layers compute in, through the same runtime, before and behind. The first layer
 * loads the libraries' kernels: where there are more, it does not count. The whole model is that time for each of its layers,
 * pruning and files aside. On the CPU it proves that it works, no more.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { EXIT, toSecateurError } from '../shared/errors/secateur-error.ts';
import { DEVICE_BASE_BYTES } from '../shared/onnx/device-memory.ts';
import { isShapeName, type ShapeName } from '../shared/synthetic/shapes.ts';
import { syntheticCheckpoint } from '../shared/synthetic/synthetic-checkpoint.ts';
import { showBytes } from '../shared/units.ts';
import { measureFlops } from '../worker/engine/measure-compute.ts';
import { probeProvider } from '../worker/engine/session.ts';
import { layerLoad } from '../worker/engine/sized-sessions.ts';
import { DeviceWatch } from './device-watch.ts';
import { type LayerTime, type PassesAsked, type PassTime, shapeOf, timePasses } from './gpu-passes.ts';
import { rerunAsEngine } from './rerun-as-engine.ts';

interface Figures {
  readonly shape: ShapeName;
  readonly samples: number;
  readonly sequenceLength: number;
  readonly microbatch: number;
  /** Through one layer, both passes. */
  readonly tokensPerSecond: number;
  readonly matrixTflops: number;
  readonly calibrate: PassFigures;
  readonly forward: PassFigures;
  /** Of the whole model, compute alone, and with loading. */
  readonly layerCount: number;
  readonly computeMinutes: number;
  readonly minutes: number;
  readonly deviceEstimatedBytes: number | null;
  readonly devicePeakBytes: number | null;
  readonly peakResidentBytes: number;
}

interface PassFigures {
  readonly computeMs: number;
  readonly loadMs: number;
  readonly tflops: number;
  /** Of the bare product's rate. */
  readonly share: number;
}

function passFigures(passes: readonly PassTime[], matrixFlops: number): PassFigures {
  const mean = (of: (pass: PassTime) => number): number =>
    passes.reduce((sum, pass) => sum + of(pass), 0) / passes.length;
  const [computeMs, loadMs, flop] = [
    mean((pass) => pass.computeMs),
    mean((pass) => pass.loadMs),
    mean((pass) => pass.flop),
  ];
  const flops = flop / (computeMs / 1000);
  return { computeMs, loadMs, tflops: flops / 1e12, share: flops / matrixFlops };
}

async function measure(asked: PassesAsked): Promise<Figures> {
  const { shape, samples, sequenceLength, microbatch, provider, deviceId } = asked;
  const say = (message: string): void => void process.stderr.write(`${shape}: ${message}\n`);
  const before = await measureFlops(asked);
  using watch = provider === 'cuda' ? new DeviceWatch(deviceId) : null;
  const all = await timePasses(asked, say, (layer, { calibrate, forward }) => {
    const each = [calibrate, forward].map((pass) => `${pass.computeMs.toFixed(0)} ms (load ${pass.loadMs.toFixed(0)})`);
    say(`layer ${layer}: calibrated in ${each[0]}, forward in ${each[1]}`);
  });
  const matrixFlops = Math.max(before, await measureFlops(asked));
  const counted: readonly LayerTime[] = all.length > 1 ? all.slice(1) : all;
  const calibrate = passFigures(
    counted.map((time) => time.calibrate),
    matrixFlops,
  );
  const forward = passFigures(
    counted.map((time) => time.forward),
    matrixFlops,
  );
  const { layerCount } = shapeOf(shape);
  const computeMs = calibrate.computeMs + forward.computeMs;
  const minutesOf = (ms: number): number => (layerCount * ms) / 60_000;
  return {
    ...{ shape, samples, sequenceLength, microbatch, calibrate, forward, layerCount },
    tokensPerSecond: (samples * sequenceLength) / (computeMs / 1000),
    matrixTflops: matrixFlops / 1e12,
    computeMinutes: minutesOf(computeMs),
    minutes: minutesOf(computeMs + calibrate.loadMs + forward.loadMs),
    deviceEstimatedBytes: provider === 'cuda' ? estimatedBytes(asked) : null,
    devicePeakBytes: watch?.peakBytes() ?? null,
    // In kilobytes, as Node has it of the system.
    peakResidentBytes: process.resourceUsage().maxRSS * 1024,
  };
}

function estimatedBytes({ shape, sequenceLength, microbatch }: PassesAsked): number {
  const { tensors } = syntheticCheckpoint(`synthetic:${shape}?layers=1&seed=0&dtype=bf16`);
  const layer = [...tensors.values()].filter(({ name }) => name.startsWith('model.layers.0.'));
  const loaded = { layer: 0, sequenceLength, computeDtype: 'BF16', tensors: layer, inputs: [] } as const;
  const { weights, sample } = layerLoad(shapeOf(shape).model, loaded).bytes;
  return DEVICE_BASE_BYTES + weights + microbatch * sample;
}

function render(figures: Figures): string {
  const { shape, samples, sequenceLength, microbatch, matrixTflops, layerCount } = figures;
  const pass = (name: string, { computeMs, loadMs, tflops, share }: PassFigures): string =>
    `  ${name}  ${computeMs.toFixed(0)} ms a layer, ${tflops.toFixed(3)} TFLOP/s: ${(100 * share).toFixed(1)} % of a bare product (${matrixTflops.toFixed(3)}); loaded in ${loadMs.toFixed(0)} ms`;
  const { deviceEstimatedBytes: estimated, devicePeakBytes: peak } = figures;
  const device =
    estimated === null
      ? []
      : [
          `  device     ${peak === null ? 'not known' : showBytes(peak)} at most by nvidia-smi, all processes; estimated ${showBytes(estimated)}`,
        ];
  return [
    `${shape}, ${samples} x ${sequenceLength} tokens, ${microbatch} a run`,
    pass('calibrate', figures.calibrate),
    pass('forward  ', figures.forward),
    `  tokens     ${figures.tokensPerSecond.toFixed(0)} a second through one layer, both passes`,
    `  model      ${layerCount} layers: ${figures.computeMinutes.toFixed(2)} minutes of compute, ${figures.minutes.toFixed(2)} with loading`,
    ...device,
    `  memory     ${showBytes(figures.peakResidentBytes)} of this process at most`,
  ].join('\n');
}

function shapesOf(names: string): ShapeName[] {
  return names.split(',').map((name) => {
    if (!isShapeName(name)) throw new Error(`--shapes: expected names of shapes; found ${name}`);
    return name;
  });
}

rerunAsEngine();

const { values } = parseArgs({
  options: {
    shapes: { type: 'string', default: 'llama-7b,llama-65b' },
    layers: { type: 'string', default: '3' },
    tokens: { type: 'string', default: String(128 * 2048) },
    sequence: { type: 'string', default: '2048' },
    microbatch: { type: 'string', default: '1' },
    provider: { type: 'string', default: 'cuda' },
    device: { type: 'string', default: '0' },
    threads: { type: 'string', default: String(availableParallelism()) },
    json: { type: 'boolean', default: false },
  },
});
const tokens = Number(values.tokens);
const sequenceLength = Math.min(Number(values.sequence), tokens);
const provider = values.provider === 'cpu' ? 'cpu' : 'cuda';
const folder = await mkdtemp(join(tmpdir(), 'secateur-bench-'));
try {
  await probeProvider(provider, Number(values.device));
  const results: Figures[] = [];
  for (const shape of shapesOf(values.shapes)) {
    const figures = await measure({
      ...{ shape, sequenceLength, folder },
      layers: Number(values.layers),
      samples: Math.ceil(tokens / sequenceLength),
      microbatch: Number(values.microbatch),
      provider,
      deviceId: Number(values.device),
      threads: Number(values.threads),
    });
    results.push(figures);
    if (!values.json) process.stdout.write(`${render(figures)}\n`);
  }
  if (values.json) process.stdout.write(`${JSON.stringify({ benchmark: 'gpu', provider, results })}\n`);
} catch (thrown) {
  process.stderr.write(`${toSecateurError(thrown).message}\n`);
  process.exitCode = EXIT.failure;
} finally {
  await rm(folder, { recursive: true, force: true });
}
