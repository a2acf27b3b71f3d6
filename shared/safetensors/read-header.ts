import { open, realpath } from 'node:fs/promises';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import type { Dtype } from './dtype.ts';
export interface SafetensorsFile { readonly file: string; readonly sizeBytes: number; readonly dataOffset: number; readonly metadata: Readonly<Record<string, string>>; readonly tensors: ReadonlyMap<string, TensorLocation> }
export async function readSafetensorsHeader(path: string): Promise<SafetensorsFile> {
  const file = await realpath(path);
  const handle = await open(file, 'r');
  try {
    const { size } = await handle.stat();
    const head = Buffer.alloc(8); await handle.read(head, 0, 8, 0);
    const length = Number(head.readBigUInt64LE());
    const json = Buffer.alloc(length); await handle.read(json, 0, length, 8);
    const { __metadata__: metadata = {}, ...entries } = JSON.parse(json.toString()) as Record<string, never>;
    const tensors = new Map<string, TensorLocation>();
    for (const [name, entry] of Object.entries(entries as Record<string, { dtype: Dtype; shape: number[]; data_offsets: [number, number] }>).sort((a, b) => a[1].data_offsets[0] - b[1].data_offsets[0])) {
      const [begin, end] = entry.data_offsets;
      tensors.set(name, { name, dtype: entry.dtype, shape: entry.shape, file, offset: 8 + length + begin, sizeBytes: end - begin });
    }
    return { file, sizeBytes: size, dataOffset: 8 + length, metadata, tensors };
  } finally { await handle.close(); }
}
