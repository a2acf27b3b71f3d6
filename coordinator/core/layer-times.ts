/**
 * What one decoder layer costs one worker: loading, one microbatch of a pass, pruning, a file of hidden states. Pure.
 *
 * Every constant says where it was measured, or that it was not. cost-model.ts makes a job's time of these.
 */
import type { DeviceBytes } from '../../shared/onnx/device-memory.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import type { WorkerRates } from './worker-rates.ts';

// Measured: docs/performance.md, "What plans are made with".
/** Of the rate of a bare product, what a whole layer reaches. */
const LAYER_EFFICIENCY = 0.8;
/** Of the same, what products of Hessians and their factors reach (bench/sparsegpt.ts). */
const SOLVER_EFFICIENCY = 0.4;
/** Casting and packing a weight when a session is created: 2 to 17 ns, the more the busier the machine. */
const PACK_NS_PER_WEIGHT = 4;
/** Casting a weight in a run, and what products of weights that are not packed take longer (bench/forward.ts). */
const CAST_NS_PER_WEIGHT = 1.2;
/** Outliers of a layer: three passes over its weights (bench/methods.ts). */
const COUNT_NS_PER_WEIGHT = 10;
/** SHA-256 with the processor's own instructions. */
export const DIGEST_BYTES_PER_SECOND = 1.9e9;
/** fsync, digest and rename of one file (a layer, or hidden states), apart from its bytes. */
const COMMIT_MS = 5;
/** Calling the runtime once (a tenth of this) and sending statistics on, whatever is computed. */
const RUN_MS = 0.5;

// Not measured.
/** Of a worker whose measured rate is its device's. */
const CPU_FLOPS_PER_THREAD = 50e9;
/** Reading what was just written on the same host: out of memory, with a page fault every 4 KiB. */
const PAGE_CACHE_BYTES_PER_SECOND = 4e9;
/** Float32 beside 16 bits on a card that has tensor cores, TF32 off: 19.5 of 312 TFLOP/s (A100), 67 of 989 (H100). */
const DEVICE_FLOAT32_SLOWDOWN = 16;
/** From pageable memory over PCIe 4.0 x16, whose limit is 32 GB/s. */
const DEVICE_COPY_BYTES_PER_SECOND = 10e9;

export interface CostInputs {
  readonly layerCount: number;
  /** On the disk; the mean, where layers differ. */
  readonly bytesPerLayer: number;
  /** Weights of its linears. */
  readonly parametersPerLayer: number;
  /** Choosing its weights and writing them, on one thread (prune-times.ts). */
  readonly pruneNsPerWeight: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  /** Heads times the size of a head. */
  readonly attentionWidth: number;
  /** Floats of one sample's statistics in one layer. */
  readonly statisticsWidth: number;
  readonly samples: number;
  readonly sequenceLength: number;
  /** Samples in one forward run. */
  readonly microbatch: number;
  readonly propagate: 'pruned' | 'dense';
  /** Columns I of each input whose Hessian is needed; none for methods that need no Hessians. */
  readonly hessianWidths: readonly number[];
  /** Whether weights are cast and packed when a layer is loaded, or in every run (shared/onnx/weight-casts.ts). */
  readonly castsOnce: boolean;
  /** Of a layer on a CUDA device, and the type that it computes in there. */
  readonly device: DeviceBytes & { readonly dtype: FloatDtype };
  /** Whether outliers are counted before anything is pruned (budgets.ts). */
  readonly survey: boolean;
  /** Every shard of the source: all are digested. */
  readonly sourceBytes: number;
  /** Of the output, what is copied from committed layers and the source; a shard that is one layer is only linked. */
  readonly copiedBytes: number;
  /** Committed layers go as soon as nobody needs them. Absent: they stay. */
  readonly isDiscarded?: boolean;
}

/** Milliseconds of one worker for one layer; of the passes, for one microbatch. */
export interface LayerTimes {
  readonly loadSource: number;
  readonly loadCommitted: number;
  readonly calibrate: number;
  /** The products of a Hessian, on top of the pass that gives their inputs. */
  readonly correlate: number;
  readonly forward: number;
  /** Outliers, for `layerwise`. */
  readonly survey: number;
  /** Pruned, written, digested. */
  readonly prune: number;
  /** Of one microbatch, to a file and back. */
  readonly writeHidden: number;
  readonly readHidden: number;
}

/** @param isOneHost what one worker has written, another finds in the page cache */
export function layerTimes(inputs: CostInputs, worker: WorkerRates, isOneHost: boolean): LayerTimes {
  const { bytesPerLayer, parametersPerLayer, sequenceLength, hiddenSize } = inputs;
  const tokens = Math.min(inputs.microbatch, inputs.samples) * sequenceLength;
  const hiddenBytes = tokens * hiddenSize * Float32Array.BYTES_PER_ELEMENT;
  const isCuda = worker.provider === 'cuda';
  // bench/forward.ts counts the same: two for each weight and token, and half of the square of scores, twice.
  const full = 2 * tokens * parametersPerLayer + 2 * tokens * sequenceLength * inputs.attentionWidth;
  const lastLinear = 2 * tokens * hiddenSize * inputs.intermediateSize;
  const copy = isCuda ? inMs(2 * hiddenBytes, DEVICE_COPY_BYTES_PER_SECOND) : 0;
  const slowdown = isCuda && inputs.device.dtype === 'F32' ? DEVICE_FLOAT32_SLOWDOWN : 1;
  const rate = (worker.flops * LAYER_EFFICIENCY) / slowdown;
  const pack = isCuda
    ? inMs(inputs.device.weights, DEVICE_COPY_BYTES_PER_SECOND)
    : inputs.castsOnce
      ? (parametersPerLayer * PACK_NS_PER_WEIGHT) / 1e6
      : 0;
  const cast = isCuda || inputs.castsOnce ? 0 : (parametersPerLayer * CAST_NS_PER_WEIGHT) / 1e6 / worker.threads;
  const cold = inMs(bytesPerLayer, worker.readBytesPerSecond);
  const warm = inMs(bytesPerLayer, Math.max(PAGE_CACHE_BYTES_PER_SECOND, worker.readBytesPerSecond));
  const select = (parametersPerLayer * inputs.pruneNsPerWeight) / 1e6 / worker.threads;
  // The upper triangle, on the CPU; then 2/3 I³ for each factor, and O I² for the linears.
  const products = tokens * sumOfPowers(inputs.hessianWidths, 2);
  const solve =
    (2 / 3) * sumOfPowers(inputs.hessianWidths, 3) + parametersPerLayer * Math.max(0, ...inputs.hessianWidths);
  const cpuRate = (isCuda ? worker.threads * CPU_FLOPS_PER_THREAD : worker.flops) * SOLVER_EFFICIENCY;
  const written = (bytes: number): number =>
    inMs(bytes, worker.writeBytesPerSecond) + inMs(bytes, DIGEST_BYTES_PER_SECOND) + COMMIT_MS;
  return {
    loadSource: cold + pack,
    loadCommitted: (isOneHost ? warm : cold) + pack,
    calibrate: inMs(full - lastLinear, rate) + copy + cast + RUN_MS,
    correlate: inMs(products, cpuRate),
    forward: inMs(full, rate) + copy + cast + RUN_MS,
    survey: (parametersPerLayer * COUNT_NS_PER_WEIGHT) / 1e6 / worker.threads,
    // Digest and disk follow the writing (worker/engine/following-digest.ts): the slowest of the three is what it takes.
    prune:
      Math.max(
        select + inMs(isHessianNeeded(inputs) ? solve : 0, cpuRate),
        inMs(bytesPerLayer, worker.writeBytesPerSecond),
        inMs(bytesPerLayer, DIGEST_BYTES_PER_SECOND),
      ) + COMMIT_MS,
    writeHidden: written(hiddenBytes),
    readHidden: inMs(hiddenBytes, worker.readBytesPerSecond),
  };
}

function sumOfPowers(values: readonly number[], power: number): number {
  return values.reduce((sum, value) => sum + value ** power, 0);
}

export function isHessianNeeded({ hessianWidths }: CostInputs): boolean {
  return hessianWidths.length > 0;
}

/** Bytes of all Hessians of a layer as a pass adds them up, and writes them: packed triangles of 4 bytes. */
export function hessianBytesOf({ hessianWidths }: CostInputs): number {
  return 2 * sumOfPowers(hessianWidths, 2);
}

/** Stages work side by side: where each microbatch goes on from a layer without the others. */
export function isPipelined(inputs: CostInputs): boolean {
  return inputs.propagate === 'dense' && !isHessianNeeded(inputs);
}

export function microbatchCount(inputs: CostInputs): number {
  return Math.ceil(inputs.samples / inputs.microbatch);
}

/** Of the hidden states of so many samples at one layer boundary. */
export function hiddenBytesOf(inputs: CostInputs, samples: number): number {
  return Math.min(samples, inputs.samples) * inputs.sequenceLength * inputs.hiddenSize * Float32Array.BYTES_PER_ELEMENT;
}

export function inMs(amount: number, perSecond: number): number {
  return (amount / perSecond) * 1000;
}
