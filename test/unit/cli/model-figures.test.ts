/** Throughput and bounds, from a record and what processes took. */
import { describe, expect, it } from 'vitest';
import { modelFigures, renderModelFigures } from '../../../cli/bench/model-figures.ts';

const MODEL = {
  source: 'synthetic:llama-7b?layers=2&seed=0&dtype=bf16',
  samples: 2,
  sequenceLength: 128,
  layerCount: 2,
  hiddenSize: 4096,
  weightsPerLayer: 200_000_000,
  weightsCalibrated: 155_000_000,
};
const WORKER = { provider: 'cpu', threads: 1, memoryBytes: 0, version: '0', engineVersion: '0' };
const RECORD = {
  totals: { prunedTensors: 14, weights: 400_000_000, zeros: 200_000_000, sparsity: 0.5 },
  measurement: {
    totalMs: 12_800,
    computeMs: 3_264,
    loadMs: 14_000,
    pruneMs: 2_400,
    bytesRead: 3 * 1024 ** 3,
    bytesWritten: 1024 ** 3,
  },
  layers: [0, 1].map((layer) => ({ layer, pruneMs: 400, tensors: {} })),
  workers: { a: { ...WORKER, computeFlops: 90e9 }, b: { ...WORKER, computeFlops: 110e9 } },
};
const MB = 1e6;
const USAGE = [
  { name: 'coordinator', peakBytes: 160 * MB, ownPeakBytes: 100 * MB, cpuSeconds: 1.2 },
  { name: 'a', peakBytes: 3_000 * MB, ownPeakBytes: 1_500 * MB, cpuSeconds: 10 },
];

describe('the figures of a throughput run', () => {
  it('are by what was computed: every layer is calibrated, and behind the last one nothing goes on', () => {
    const figures = modelFigures(MODEL, RECORD, USAGE);
    // 2 x 256 tokens x (2 x 155 M + 200 M) in 3.264 s
    expect(figures.gflops).toBeCloseTo(80, 5);
    expect(figures).toMatchObject({
      workers: 2,
      threads: 1,
      tokensPerSecond: 20,
      layersPerMinute: 9.375,
      gemmGflops: 100,
      pruneNsPerWeight: 6,
      kernelNsPerWeight: 2,
    });
  });

  it('hold the coordinator to 250 MB, and a worker to three layers in float32, its hidden states and 500 MB', () => {
    const { processes } = modelFigures(MODEL, RECORD, USAGE);
    expect(processes.map(({ boundBytes, holds }) => [boundBytes, holds])).toEqual([
      [250 * MB, true],
      [3 * 800 * MB + 256 * 4096 * 4 + 500 * MB, false],
    ]);
  });

  it('are shown with the share of a bare product, and say which bound is broken', () => {
    const text = renderModelFigures(modelFigures(MODEL, RECORD, USAGE));
    expect(text).toContain('20.00 tokens/s through the model, 9.38 layers a minute');
    expect(text).toContain('80.0 GFLOP/s each: 80 % of a bare product (100.0, measured before the job)');
    expect(text).toContain('6.00 ns a weight, 2.00 of it choosing');
    expect(text).toMatch(/^coordinator .* holds +1\.2 s$/m);
    expect(text).toMatch(/^a .* BROKEN +10\.0 s$/m);
    expect(renderModelFigures(modelFigures(MODEL, RECORD, []))).toMatch(
      /^memory +not known here: there is no \/proc$/m,
    );
  });
});
