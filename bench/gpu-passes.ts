/**
 * The engine's own passes (worker/engine/tasks/run-pass.ts) over layers of a synthetic model, timed: what one worker computes of
 * a job with `propagate: pruned`, without pruning, files and coordinator. Weights of a layer are made before its passes begin.
 */
import { join } from 'node:path';
import type { ModelDescription } from '../shared/models/family.ts';
import { layerTensors } from '../shared/models/family.ts';
import { describeModel } from '../shared/models/registry.ts';
import type { PassTask__Output } from '../shared/rpc/generated/secateur/v1/PassTask.ts';
import type { TensorRef__Output } from '../shared/rpc/generated/secateur/v1/TensorRef.ts';
import { DirectJobFiles } from '../shared/storage/direct-job-files.ts';
import { SyntheticJobFiles } from '../shared/storage/synthetic-job-files.ts';
import type { ShapeName } from '../shared/synthetic/shapes.ts';
import { SHAPES } from '../shared/synthetic/shapes.ts';
import { syntheticCheckpoint } from '../shared/synthetic/synthetic-checkpoint.ts';
import { HiddenStore } from '../worker/engine/hidden-store.ts';
import { RunSize } from '../worker/engine/run-size.ts';
import type { TaskContext } from '../worker/engine/task-context.ts';
import { runPass } from '../worker/engine/tasks/run-pass.ts';

export interface PassesAsked {
  readonly shape: ShapeName;
  readonly layers: number;
  readonly samples: number;
  readonly sequenceLength: number;
  /** Samples in a run. */
  readonly microbatch: number;
  readonly provider: 'cpu' | 'cuda';
  readonly deviceId: number;
  readonly threads: number;
  /** Nobody else's. */
  readonly folder: string;
}

export interface PassTime {
  /** Reading the layer, making the session, weights to the device. */
  readonly loadMs: number;
  /** Runs, with what goes to the device and back. */
  readonly computeMs: number;
  /** Multiplications and additions of linears and causal attention. */
  readonly flop: number;
}

export interface LayerTime {
  /** The four statistics, without the last linear. */
  readonly calibrate: PassTime;
  readonly forward: PassTime;
}

/** Of the whole model that the shape is of. */
export function shapeOf(shape: ShapeName): { layerCount: number; model: ModelDescription } {
  const { layerCount } = SHAPES[shape];
  return { layerCount, model: describeModel(syntheticCheckpoint(`synthetic:${shape}?seed=0&dtype=bf16`).config) };
}

/** @param told a notice of the engine: runs that had to be halved */
export async function timePasses(
  asked: PassesAsked,
  told: (message: string) => void,
  onLayer: (layer: number, times: LayerTime) => void,
): Promise<LayerTime[]> {
  const { shape, layers, samples, microbatch, folder } = asked;
  const location = `synthetic:${shape}?layers=${layers}&seed=0&dtype=bf16`;
  const { tensors } = syntheticCheckpoint(location);
  const places = { sourceDirectory: location, stagingDirectory: folder, calibrationFiles: [], evaluationFiles: [] };
  const files = await SyntheticJobFiles.open(new DirectJobFiles(places), location, join(folder, 'made'));
  const context = contextOf(asked, files, told);
  const microbatches = Math.ceil(samples / microbatch);
  fillStates(context.hidden, asked, context.model);
  const times: LayerTime[] = [];
  for (let layer = 0; layer < layers; layer++) {
    const prefix = `model.layers.${layer}.`;
    const refs = [...tensors.values()]
      .filter(({ name }) => name.startsWith(prefix))
      .map(({ file, shape, ...tensor }): TensorRef__Output => {
        return {
          ...tensor,
          shape: [...shape],
          file: { root: 'FILE_ROOT_SOURCE', name: file, sizeBytes: 0, sha256: '' },
        };
      });
    await files.fetchTensors(refs);
    const run = async (hidden: boolean): Promise<PassTime> => {
      const task = passTask(layer, refs, microbatches, hidden);
      const { pass } = await runPass(task, context);
      const { loadMs = 0, computeMs = 0 } = pass ?? {};
      return { loadMs, computeMs, flop: passFlop(context.model, asked, hidden) };
    };
    const time = { calibrate: await run(false), forward: await run(true) };
    times.push(time);
    onLayer(layer, time);
    files.setIdentity(null);
  }
  return times;
}

function passTask(
  layer: number,
  tensors: TensorRef__Output[],
  microbatches: number,
  hidden: boolean,
): PassTask__Output {
  return {
    ...{ stage: 0, layer, tensors, suffix: 'e1-a1', write: [], drop: [], sums: [], next: [] },
    ...{ statistics: !hidden, hidden, hessian: false },
    microbatches: [{ first: 0, end: microbatches }],
    input: { memory: true, from: 'memory' },
  };
}

function contextOf(asked: PassesAsked, files: SyntheticJobFiles, notice: (message: string) => void): TaskContext {
  const { samples, sequenceLength, microbatch, provider, deviceId, threads } = asked;
  const unused = (): never => {
    throw new Error('a pass from memory to memory prunes nothing and writes no file');
  };
  return {
    job: { samples, sequenceLength, microbatch } as TaskContext['job'],
    model: shapeOf(asked.shape).model,
    files,
    hidden: new HiddenStore(),
    ...{ provider, deviceId, threads, notice },
    runSizes: { layer: new RunSize(), head: new RunSize() },
    readAhead: () => undefined,
    kernels: unused,
    snapshotWritten: unused,
    progress: () => undefined,
    statistics: () => undefined,
    isYielding: () => false,
  };
}

/** All microbatches begin as the same random numbers; what a run takes does not depend on them. */
function fillStates(store: HiddenStore, asked: PassesAsked, { hiddenSize }: ModelDescription): void {
  const { samples, microbatch, sequenceLength } = asked;
  const states = new Float32Array(microbatch * sequenceLength * hiddenSize).map(() => 2 * Math.random() - 1);
  for (let first = 0; first < samples; first += microbatch) {
    const count = Math.min(microbatch, samples - first);
    store.put(0, first / microbatch, states.subarray(0, count * sequenceLength * hiddenSize));
  }
}

/** Two for each weight and token, and half of the square of scores, twice (as bench/forward.ts). */
function passFlop(model: ModelDescription, asked: PassesAsked, hasLastLinear: boolean): number {
  const { samples, sequenceLength } = asked;
  const sizes = layerTensors(model, 0).linears.map(({ outFeatures, inFeatures }) => outFeatures * inFeatures);
  const weights = (hasLastLinear ? sizes : sizes.slice(0, -1)).reduce((sum, size) => sum + size, 0);
  return 2 * samples * sequenceLength * (weights + sequenceLength * model.headCount * model.headDim);
}
