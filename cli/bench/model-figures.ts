/** What a throughput run shows, from the record of its job and what its processes took. Pure. */
import type { ReportRecord } from '../../coordinator/report/record.ts';
import { showBytes, showCount, showDuration } from '../../shared/units.ts';
import { renderFields, renderTable } from '../render/table.ts';
import type { ProcessUsage } from './process-watch.ts';

const MB = 1e6;
/** What secateur states of itself: docs/performance.md, "Memory". */
const COORDINATOR_BYTES_MAX = 250 * MB;
const WORKER_BYTES_BESIDE = 500 * MB;
const LAYERS_HELD = 3;
const COORDINATOR = 'coordinator';

export interface BenchedModel {
  readonly source: string;
  readonly samples: number;
  readonly sequenceLength: number;
  readonly layerCount: number;
  readonly hiddenSize: number;
  /** Weights of the linears of one layer, and of those whose inputs are computed when it is calibrated: all but the last. */
  readonly weightsPerLayer: number;
  readonly weightsCalibrated: number;
}

interface ProcessFigures extends ProcessUsage {
  readonly boundBytes: number;
  readonly holds: boolean;
}

export interface ModelFigures {
  readonly source: string;
  readonly workers: number;
  readonly threads: number;
  readonly samples: number;
  readonly sequenceLength: number;
  readonly layers: number;
  readonly weights: number;
  readonly elapsedMs: number;
  readonly tokensPerSecond: number;
  readonly layersPerMinute: number;
  /** Of one worker in its passes, products of the linears alone. */
  readonly gflops: number;
  /** Of a bare matrix product, as each worker measured it before the job; on average. */
  readonly gemmGflops: number;
  readonly computeMs: number;
  readonly loadMs: number;
  readonly pruneMs: number;
  readonly pruneNsPerWeight: number;
  readonly kernelNsPerWeight: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly processes: readonly ProcessFigures[];
}

export function modelFigures(
  model: BenchedModel,
  record: Pick<ReportRecord, 'measurement' | 'totals' | 'layers' | 'workers'>,
  usage: readonly ProcessUsage[],
): ModelFigures {
  const { samples, sequenceLength, layerCount, weightsPerLayer, weightsCalibrated, hiddenSize } = model;
  const measured = (field: string): number => record.measurement?.[field] ?? Number.NaN;
  const [totalMs, computeMs, pruneMs] = [measured('totalMs'), measured('computeMs'), measured('pruneMs')];
  const workers = Object.values(record.workers ?? {});
  const kernelMs = record.layers.reduce((sum, layer) => sum + (layer.pruneMs ?? 0), 0);
  const tokens = samples * sequenceLength;
  // Each layer is calibrated; behind the last one nothing goes on.
  const flops = 2 * tokens * (layerCount * weightsCalibrated + (layerCount - 1) * weightsPerLayer);
  const weights = record.totals.weights;
  const workerBound =
    LAYERS_HELD * weightsPerLayer * Float32Array.BYTES_PER_ELEMENT +
    tokens * hiddenSize * Float32Array.BYTES_PER_ELEMENT +
    WORKER_BYTES_BESIDE;
  return {
    source: model.source,
    workers: workers.length,
    threads: Math.max(0, ...workers.map((worker) => worker.threads)),
    samples,
    sequenceLength,
    layers: layerCount,
    weights,
    elapsedMs: totalMs,
    tokensPerSecond: tokens / (totalMs / 1000),
    layersPerMinute: layerCount / (totalMs / 60_000),
    gflops: flops / computeMs / 1e6,
    gemmGflops: workers.reduce((sum, worker) => sum + (worker.computeFlops ?? 0), 0) / workers.length / 1e9,
    computeMs,
    loadMs: measured('loadMs'),
    pruneMs,
    pruneNsPerWeight: (pruneMs * 1e6) / weights,
    kernelNsPerWeight: (kernelMs * 1e6) / weights,
    bytesRead: measured('bytesRead'),
    bytesWritten: measured('bytesWritten'),
    processes: usage.map((process) => {
      const boundBytes = process.name === COORDINATOR ? COORDINATOR_BYTES_MAX : workerBound;
      return { ...process, boundBytes, holds: process.peakBytes <= boundBytes };
    }),
  };
}

export function renderModelFigures(figures: ModelFigures): string {
  const share = Math.round((100 * figures.gflops) / figures.gemmGflops);
  const fields = renderFields([
    ['model', `${figures.source}, ${showCount(figures.weights)} weights pruned`],
    ['workers', `${figures.workers}, threads of each: ${figures.threads}`],
    ['tokens', `${figures.samples} samples of ${figures.sequenceLength}`],
    [
      'time',
      `${showDuration(figures.elapsedMs)}: ${figures.tokensPerSecond.toFixed(2)} tokens/s through the model, ${figures.layersPerMinute.toFixed(2)} layers a minute`,
    ],
    [
      'compute',
      `${showDuration(figures.computeMs)} of all workers, ${figures.gflops.toFixed(1)} GFLOP/s each: ${share} % of a bare product (${figures.gemmGflops.toFixed(1)}, measured before the job)`,
    ],
    ['load', `${showDuration(figures.loadMs)} of all workers: making weights, sessions`],
    [
      'prune',
      `${showDuration(figures.pruneMs)}: ${figures.pruneNsPerWeight.toFixed(2)} ns a weight, ${figures.kernelNsPerWeight.toFixed(2)} of it choosing, file to file; the rest fsync and digest`,
    ],
    ['bytes', `${showBytes(figures.bytesRead)} read, ${showBytes(figures.bytesWritten)} written`],
  ]);
  if (figures.processes.length === 0) return `${fields}\nmemory   not known here: there is no /proc`;
  return `${fields}\n\n${renderTable(
    [
      { title: 'PROCESS', value: ({ name }: ProcessFigures) => name },
      { title: 'PEAK', value: ({ peakBytes }) => showBytes(peakBytes), align: 'right' },
      { title: 'OF ITS OWN', value: ({ ownPeakBytes }) => showBytes(ownPeakBytes), align: 'right' },
      { title: 'BOUND', value: ({ boundBytes }) => showBytes(boundBytes), align: 'right' },
      { title: '', value: ({ holds }) => (holds ? 'holds' : 'BROKEN') },
      { title: 'CPU', value: ({ cpuSeconds }) => showDuration(cpuSeconds * 1000), align: 'right' },
    ],
    figures.processes,
  )}`;
}
