import { open } from 'node:fs/promises';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
export async function readTensorBytes(location: TensorLocation): Promise<Uint8Array> {
  const handle = await open(location.file, 'r');
  try { const bytes = new Uint8Array(location.sizeBytes); await handle.read(bytes, 0, bytes.length, location.offset); return bytes; } finally { await handle.close(); }
}
