/** What a placement asks of its workers beside time: bytes read and written, memory, disk. Pure. */
import { DEVICE_BASE_BYTES } from '../../shared/onnx/device-memory.ts';
import { type CostInputs, hessianBytesOf, hiddenBytesOf } from './layer-times.ts';
import type { WorkerRates } from './worker-rates.ts';

/** A layer as it is mapped, as the engine packs it, and as the engine computes with it: `secateur bench model` holds it to that. */
const LAYER_COPIES = 3;
/** Node, ONNX Runtime and the kernels, before any weight. */
const WORKER_BASE_BYTES = 500e6;
/** The layer of the source, the committed one, and the one that is being written. */
const CACHED_LAYERS = 3;

/** What a worker has of one stage. */
export interface StagePart {
  readonly worker: number;
  readonly layers: number;
  /** How often it reads each of those layers for a pass. */
  readonly passes: number;
  /** Of the stage's layers, which part it prunes. */
  readonly pruned: number;
  readonly samples: number;
  /** How often those samples' hidden states go to files, and come from them. */
  readonly snapshotsWritten: number;
  readonly snapshotsRead: number;
}

export interface WorkerCost {
  /** Index into the workers. */
  readonly worker: number;
  readonly bytesRead: number;
  readonly bytesWritten: number;
  readonly memoryBytes: number;
  /** With a microbatch in each run; zero for a worker that computes on its CPU. */
  readonly deviceMemoryBytes: number;
  /** With one sample, which is what runs are halved down to (worker/engine/run-size.ts). */
  readonly deviceMemoryLeastBytes: number;
  /** In its cache, where it goes through the coordinator; nothing where it sees the files. */
  readonly diskBytes: number;
}

export function workerCosts(
  inputs: CostInputs,
  workers: readonly WorkerRates[],
  parts: readonly StagePart[],
): WorkerCost[] {
  const found = new Map<number, { read: number; written: number; held: number }>();
  for (const part of parts) {
    const cost = found.get(part.worker) ?? { read: 0, written: 0, held: 0 };
    const held = hiddenBytesOf(inputs, part.samples);
    // Pruning reads the source; its result is read once more for its digest.
    cost.read += (part.passes + 2 * part.pruned) * part.layers * inputs.bytesPerLayer + part.snapshotsRead * held;
    const hessians = part.passes > 0 ? part.layers * hessianBytesOf(inputs) : 0;
    // Whoever prunes reads what all have written.
    cost.read += hessians;
    cost.written += part.pruned * part.layers * inputs.bytesPerLayer + part.snapshotsWritten * held + hessians;
    cost.held = Math.max(cost.held, held);
    found.set(part.worker, cost);
  }
  return [...found]
    .sort(([a], [b]) => a - b)
    .map(([worker, { read, written, held }]) => ({
      worker,
      bytesRead: Math.round(read),
      bytesWritten: Math.round(written),
      ...memoryOf(inputs, (workers[worker] as WorkerRates).provider, held),
      diskBytes: Math.round(CACHED_LAYERS * inputs.bytesPerLayer + held),
    }));
}

function memoryOf(
  inputs: CostInputs,
  provider: 'cpu' | 'cuda',
  heldBytes: number,
): Pick<WorkerCost, 'memoryBytes' | 'deviceMemoryBytes' | 'deviceMemoryLeastBytes'> {
  const layerBytes = inputs.parametersPerLayer * Float32Array.BYTES_PER_ELEMENT;
  const tokens = Math.min(inputs.microbatch, inputs.samples) * inputs.sequenceLength;
  // All of a layer, and the inputs that they are of, while a pass adds them up; one of them, square, while it is pruned.
  const [columns, widest] = [inputs.hessianWidths.reduce((a, b) => a + b, 0), Math.max(0, ...inputs.hessianWidths)];
  const adding = hessianBytesOf(inputs) + tokens * columns * Float32Array.BYTES_PER_ELEMENT;
  const hessians = Math.max(adding, widest ** 2 * Float32Array.BYTES_PER_ELEMENT);
  // At the widest point: gate, up and their product; the residual, what comes in and what goes out.
  const activations = tokens * (3 * inputs.intermediateSize + 3 * inputs.hiddenSize) * Float32Array.BYTES_PER_ELEMENT;
  if (provider === 'cpu') {
    // Weights that are cast in every run are so one at a time: no more than a third of a layer.
    const copies = inputs.castsOnce ? LAYER_COPIES : 1;
    const memoryBytes = WORKER_BASE_BYTES + copies * layerBytes + activations + heldBytes + hessians;
    return { memoryBytes, deviceMemoryBytes: 0, deviceMemoryLeastBytes: 0 };
  }
  return {
    memoryBytes: Math.round(WORKER_BASE_BYTES + inputs.bytesPerLayer + heldBytes + hessians),
    deviceMemoryBytes: onDevice(inputs, Math.min(inputs.microbatch, inputs.samples)),
    deviceMemoryLeastBytes: onDevice(inputs, 1),
  };
}

function onDevice({ device }: CostInputs, samples: number): number {
  return Math.round(DEVICE_BASE_BYTES + device.weights + samples * device.sample);
}

/** Samples of one run that are estimated to fit a device; 1 where not even one does: nothing less can be tried. */
export function samplesThatFit({ weights, sample }: CostInputs['device'], deviceMemoryBytes: number): number {
  return Math.max(1, Math.floor((deviceMemoryBytes - DEVICE_BASE_BYTES - weights) / sample));
}

/** The first worker that has too little; null where all have enough, as far as is known. */
export function memoryProblem(workers: readonly WorkerRates[], costs: readonly WorkerCost[]): string | null {
  for (const { worker, memoryBytes, deviceMemoryLeastBytes } of costs) {
    const { name, memoryBytes: host, deviceMemoryBytes: device } = workers[worker] as WorkerRates;
    if (memoryBytes > host)
      return `does not fit the memory of ${name}: about ${showSize(memoryBytes)}, and its share of its host's is ${showSize(host)}`;
    if (deviceMemoryLeastBytes > device) {
      return `does not fit the device of ${name}: about ${showSize(deviceMemoryLeastBytes)} with one sample, and it has ${showSize(device)}`;
    }
  }
  return null;
}

/** A worker's share of a shared host may be far below a gibibyte. */
function showSize(bytes: number): string {
  return bytes < 2 ** 30 ? `${Math.round(bytes / 2 ** 20)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
