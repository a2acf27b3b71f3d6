/** Workers and a job for tests of the cost model: an ordinary processor, and LLaMA-65B on cards like an A100. */
import type { CostInputs } from '../../../coordinator/core/layer-times.ts';
import type { WorkerCapabilities } from '../../../coordinator/core/state.ts';
import type { PlannedWorker } from '../../../coordinator/core/worker-rates.ts';

export function plannedWorkers(count: number, over: Partial<WorkerCapabilities> = {}): PlannedWorker[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `w${index + 1}`,
    capabilities: {
      host: `host-${index + 1}`,
      processId: 1,
      provider: 'cpu',
      threads: 8,
      memoryBytes: 64e9,
      version: '0',
      engineVersion: '0',
      storageReadBytesPerSecond: 1e9,
      storageWriteBytesPerSecond: 0.5e9,
      computeFlops: 800e9,
      deviceMemoryBytes: 0,
      ...over,
    },
  }));
}

/** 240 TFLOP/s: what a product in 16 bits reaches of the 312 on the data sheet. NVMe disks. */
export const A100 = {
  provider: 'cuda',
  threads: 16,
  memoryBytes: 512e9,
  storageReadBytesPerSecond: 2e9,
  storageWriteBytesPerSecond: 1e9,
  computeFlops: 240e12,
  deviceMemoryBytes: 80e9,
} as const;

const HIDDEN = 8192;
const INTERMEDIATE = 22016;
const LLAMA_65B_WEIGHTS = 4 * HIDDEN * HIDDEN + 3 * HIDDEN * INTERMEDIATE;

export const LLAMA_65B: CostInputs = {
  layerCount: 80,
  bytesPerLayer: 2 * LLAMA_65B_WEIGHTS,
  parametersPerLayer: LLAMA_65B_WEIGHTS,
  pruneNsPerWeight: 0.85,
  hiddenSize: HIDDEN,
  intermediateSize: INTERMEDIATE,
  attentionWidth: HIDDEN,
  statisticsWidth: 3 * HIDDEN + INTERMEDIATE,
  samples: 128,
  sequenceLength: 2048,
  microbatch: 1,
  propagate: 'pruned',
  hessianWidths: [],
  castsOnce: true,
  device: { dtype: 'BF16', weights: 2 * LLAMA_65B_WEIGHTS, sample: 2048 * (8 * HIDDEN + 10 * INTERMEDIATE) },
  survey: false,
  sourceBytes: 130.5e9,
  copiedBytes: 130.5e9,
};

/** A tenth of it in every direction: the same questions, quicker. */
export const SMALL: CostInputs = {
  ...LLAMA_65B,
  layerCount: 12,
  bytesPerLayer: 25e6,
  parametersPerLayer: 12.5e6,
  hiddenSize: 1024,
  intermediateSize: 2816,
  attentionWidth: 1024,
  samples: 64,
  sequenceLength: 512,
  microbatch: 2,
  device: { dtype: 'BF16', weights: 25e6, sample: 512 * (8 * 1024 + 10 * 2816) },
  sourceBytes: 350e6,
  copiedBytes: 350e6,
};
