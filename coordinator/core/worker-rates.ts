/**
 * How fast a worker is and how much it holds: what it measured when it started, and what is assumed where it could not.
 * Pure. The cost model (cost-model.ts) reads nothing else about workers.
 */
import type { WorkerCapabilities } from './state.ts';

/**
 * Float32 of one core with 256-bit vectors, on the safe side: half of the least that docs/performance.md has for a bare
 * product (97 GFLOP/s). A worker that could not measure is more often slow than fast.
 */
const CPU_FLOPS_PER_THREAD_DEFAULT = 50e9;
/** Half of an A100's 312 TFLOP/s in 16 bits. Not measured here. */
const CUDA_FLOPS_DEFAULT = 150e12;
/** A SATA solid-state disk, or an ordinary network volume of a cloud; writing with fdatasync takes twice as long. */
const STORAGE_READ_DEFAULT = 500e6;
const STORAGE_WRITE_DEFAULT = 250e6;

/** A worker by the name that messages call it. */
export interface PlannedWorker {
  readonly name: string;
  readonly capabilities: WorkerCapabilities;
}

export interface WorkerRates {
  readonly name: string;
  readonly host: string;
  readonly provider: 'cpu' | 'cuda';
  readonly threads: number;
  /** Multiplications and additions a second of a large product, by all of its threads: float32; on CUDA 16 bits. */
  readonly flops: number;
  readonly readBytesPerSecond: number;
  readonly writeBytesPerSecond: number;
  /** Its share of the host's memory where several workers have one host; infinite where it is not known. */
  readonly memoryBytes: number;
  readonly deviceMemoryBytes: number;
}

/** What is planned for where no worker is there yet. */
export const UNKNOWN_WORKER: PlannedWorker = {
  name: 'a worker',
  capabilities: {
    host: '',
    processId: 0,
    provider: 'cpu',
    threads: 1,
    memoryBytes: 0,
    version: '',
    engineVersion: '',
    storageReadBytesPerSecond: 0,
    storageWriteBytesPerSecond: 0,
    computeFlops: 0,
    deviceMemoryBytes: 0,
  },
};

export function ratesOf(workers: readonly PlannedWorker[]): WorkerRates[] {
  const perHost = new Map<string, number>();
  for (const { capabilities } of workers) perHost.set(capabilities.host, (perHost.get(capabilities.host) ?? 0) + 1);
  return workers.map(({ name, capabilities }) => {
    const { host, provider } = capabilities;
    const threads = known(capabilities.threads) ?? 1;
    const flopsDefault = provider === 'cuda' ? CUDA_FLOPS_DEFAULT : threads * CPU_FLOPS_PER_THREAD_DEFAULT;
    return {
      name,
      host,
      provider,
      threads,
      flops: known(capabilities.computeFlops) ?? flopsDefault,
      readBytesPerSecond: known(capabilities.storageReadBytesPerSecond) ?? STORAGE_READ_DEFAULT,
      writeBytesPerSecond: known(capabilities.storageWriteBytesPerSecond) ?? STORAGE_WRITE_DEFAULT,
      memoryBytes: (known(capabilities.memoryBytes) ?? Number.POSITIVE_INFINITY) / (perHost.get(host) ?? 1),
      deviceMemoryBytes: known(capabilities.deviceMemoryBytes) ?? Number.POSITIVE_INFINITY,
    };
  });
}

/** Of the smallest device that is computed on; null where there is none, or nobody knows. */
export function leastDeviceMemory(workers: readonly PlannedWorker[]): number | null {
  const found = workers
    .filter(({ capabilities }) => capabilities.provider === 'cuda')
    .map(({ capabilities }) => known(capabilities.deviceMemoryBytes))
    .filter((bytes) => bytes !== null);
  return found.length === 0 ? null : Math.min(...found);
}

/** Zero is "not known"; so is what an older journal lacks, and what no measurement can give. */
function known(value: number | undefined): number | null {
  return value !== undefined && Number.isFinite(value) && value > 0 ? value : null;
}
