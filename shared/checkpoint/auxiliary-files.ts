/** Which files of a checkpoint go with the weights into the output, as they are. Pure. */
import { PROVENANCE_FILE } from './provenance-name.ts';

/**
 * Weights and training states in other formats: carried over, they would be unpruned weights beside the pruned ones,
 * and some loaders would take those.
 */
const WEIGHT_FORMATS = [
  '.safetensors',
  '.bin',
  '.pt',
  '.pth',
  '.ckpt',
  '.gguf',
  '.ggml',
  '.onnx',
  '.onnx_data',
  '.msgpack',
  '.h5',
  '.npz',
  '.ot',
  '.tflite',
  '.mlmodel',
] as const;

/** Indices of sharded weights: model.safetensors.index.json, pytorch_model.bin.index.json, ….index.fp16.json. */
const WEIGHT_INDEX = /\.index(\.[^.]+)?\.json$/;

/**
 * Whether a file of that name is carried over: configuration, tokenizer, templates, licence, code, texts. Not the
 * provenance of an earlier run: the output gets one of its own.
 */
export function isAuxiliaryFile(name: string): boolean {
  if (name.startsWith('.') || name === PROVENANCE_FILE || WEIGHT_INDEX.test(name)) return false;
  return !isWeightFile(name);
}

/** Whether the name is that of weights in any format. */
export function isWeightFile(name: string): boolean {
  const lower = name.toLowerCase();
  return WEIGHT_FORMATS.some((suffix) => lower.endsWith(suffix));
}
