import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
export async function embedTokens(ids: Int32Array, embedding: TensorLocation): Promise<Float32Array> {
  const [, hidden] = embedding.shape as [number, number];
  const bytes = await readTensorBytes(embedding);
  const table = new Float16Array(bytes.buffer);
  const out = new Float32Array(ids.length * hidden);
  for (const [index, id] of ids.entries()) out.set(table.subarray(id * hidden, (id + 1) * hidden), index * hidden);
  return out;
}
