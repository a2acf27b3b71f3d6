/**
 * What a decoder layer takes of a CUDA device's memory: an estimate, for plans and for the words of an error. Pure.
 *
 * Not measured on a device. It counts what the graph of decoder-layer.ts must hold at one time, operator by operator. H is
 * the hidden size, I the intermediate size, A and K the width of all query and of all key heads, e the bytes of a value of
 * computeDtype; bytes for each token:
 *
 *   all the time      4 H (the input, which the runtime keeps) + 2 e H (the residual before and behind the attention)
 *   attention         e (H + 3 A + 4 K): its normed input; queries, rotated ones, context; keys and values, and once more
 *                     as the operator turns and keeps them. The plain operator has two matrices of scores more: 2 e heads S
 *   products of MLP   e (H + 3 I): its normed input; gate, its SiLU, up
 *   a statistic       (e + 8) max(I, A): the input, its squares in float32, and those side by side by sample
 *   the end           e (H + I) + 4 H: the last linear, and the output in float32
 *
 * The largest of the last four counts, with the first; and 4 bytes for each column of an input that is an output itself.
 * Everything grows with the tokens, so with the samples. Left out: statistics (4 bytes a column and sample), what the arena
 * loses to fragments, and other processes on the device. DEVICE_BASE_BYTES is for what is there before any of it.
 */
import { layerTensors, type ModelDescription } from '../models/family.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype } from '../safetensors/dtype.ts';
import { chooseAttention } from './decoder-layer.ts';

/** A CUDA context with the libraries' kernels and workspaces. Not measured. */
export const DEVICE_BASE_BYTES = 1e9;

export interface DeviceLayer {
  readonly model: ModelDescription;
  readonly sequenceLength: number;
  readonly computeDtype: FloatDtype;
  /** The layer's tensors as they are stored. */
  readonly storedBytes: number;
  /** Of all inputs that the graph has as outputs, together. */
  readonly inputColumns: number;
}

export interface DeviceBytes {
  /** Whatever goes through. */
  readonly weights: number;
  readonly sample: number;
}

export function layerDeviceBytes(layer: DeviceLayer): DeviceBytes {
  const { model, sequenceLength, computeDtype, storedBytes, inputColumns } = layer;
  const { hiddenSize, intermediateSize, headCount, keyValueHeadCount, headDim } = model;
  const size = DTYPE_SIZE_BYTES[computeDtype];
  const [query, key] = [headCount * headDim, keyValueHeadCount * headDim];
  const isPlain = chooseAttention(model, 'cuda', computeDtype) === 'attention';
  const scores = isPlain ? 2 * size * headCount * sequenceLength : 0;
  const widest = Math.max(
    size * (hiddenSize + 3 * query + 4 * key) + scores,
    size * (hiddenSize + 3 * intermediateSize),
    (size + 8) * Math.max(intermediateSize, query),
    size * (hiddenSize + intermediateSize) + 4 * hiddenSize,
  );
  const token = (4 + 2 * size) * hiddenSize + widest + 4 * inputColumns;
  const parameters = layerTensors(model, 0).linears.reduce((sum, each) => sum + each.outFeatures * each.inFeatures, 0);
  // Weights of several types are cast before they go to the device.
  return { weights: Math.max(storedBytes, size * parameters), sample: sequenceLength * token };
}
