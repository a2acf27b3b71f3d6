/** Sessions whose runs are as large as the device has memory for (run-size.ts); to their callers they are as any other. */
import { type ModelDescription, STATISTICS, type Statistic, statisticWidth } from '../../shared/models/family.ts';
import { type DeviceBytes, layerDeviceBytes } from '../../shared/onnx/device-memory.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype } from '../../shared/safetensors/dtype.ts';
import { type DeviceLoad, namingLoad, type RunSize } from './run-size.ts';
import type { HeadSession, LayerOutputs, LayerSession } from './session.ts';
import type { TaskContext } from './task-context.ts';

export interface LoadedLayer {
  readonly layer: number;
  readonly sequenceLength: number;
  readonly computeDtype: FloatDtype;
  readonly tensors: Iterable<{ readonly sizeBytes: number }>;
  /** Those that the graph has as outputs. */
  readonly inputs: readonly Statistic[];
}

export function layerLoad(model: ModelDescription, loaded: LoadedLayer): DeviceLoad {
  const { layer, sequenceLength, computeDtype, inputs } = loaded;
  const storedBytes = [...loaded.tensors].reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
  const inputColumns = inputs.reduce((sum, statistic) => sum + statisticWidth(model, statistic), 0);
  const bytes = layerDeviceBytes({ model, sequenceLength, computeDtype, storedBytes, inputColumns });
  return { what: `layer ${layer}`, unit: 'sample', tokensEach: sequenceLength, bytes };
}

export function headLoad(model: ModelDescription, computeDtype: FloatDtype): DeviceLoad {
  const { hiddenSize, vocabularySize } = model;
  const size = DTYPE_SIZE_BYTES[computeDtype];
  // Logits in computeDtype, in float32, and their softmax.
  const bytes: DeviceBytes = {
    weights: size * hiddenSize * vocabularySize,
    sample: (4 + 2 * size) * hiddenSize + (size + 8) * vocabularySize,
  };
  return { what: 'the language head', unit: 'token', tokensEach: 1, bytes };
}

type Sizing = Pick<TaskContext, 'notice'> & { readonly size: RunSize };

/** @throws as `create`; DeviceMemoryExhausted with the load's name where its weights are too much */
export async function sizedLayerSession(
  create: () => Promise<LayerSession>,
  load: DeviceLoad,
  { size, notice }: Sizing,
): Promise<LayerSession> {
  const session = await namingLoad(load, 0, create);
  return {
    run: async (hidden, [batch, sequence, width]) => {
      const each = sequence * width;
      const run = (first: number, end: number): Promise<LayerOutputs> =>
        session.run(hidden.subarray(first * each, end * each), [end - first, sequence, width]);
      return joined(await size.inParts(batch, load, run, notice));
    },
    release: () => session.release(),
  };
}

/** @throws as sizedLayerSession */
export async function sizedHeadSession(
  create: () => Promise<HeadSession>,
  load: DeviceLoad,
  { size, notice }: Sizing,
): Promise<HeadSession> {
  const session = await namingLoad(load, 0, create);
  return {
    run: async (hidden, targets) => {
      const width = hidden.length / targets.length;
      const run = (first: number, end: number): Promise<Float32Array> =>
        session.run(hidden.subarray(first * width, end * width), targets.subarray(first, end));
      return concatenated(await size.inParts(targets.length, load, run, notice));
    },
    release: () => session.release(),
  };
}

/** Every output has its samples in its first dimension. */
function joined(parts: readonly LayerOutputs[]): LayerOutputs {
  const [first] = parts as readonly [LayerOutputs];
  if (parts.length === 1) return first;
  const byName = (of: (part: LayerOutputs) => ReadonlyMap<Statistic, Float32Array>): Map<Statistic, Float32Array> => {
    const names = STATISTICS.filter((name) => of(first).has(name));
    return new Map(names.map((name) => [name, concatenated(parts.map((part) => of(part).get(name) as Float32Array))]));
  };
  return {
    statistics: byName((part) => part.statistics),
    inputs: byName((part) => part.inputs),
    hidden: first.hidden === null ? null : concatenated(parts.map((part) => part.hidden as Float32Array)),
  };
}

function concatenated(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0] as Float32Array;
  const whole = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let offset = 0;
  for (const part of parts) {
    whole.set(part, offset);
    offset += part.length;
  }
  return whole;
}
