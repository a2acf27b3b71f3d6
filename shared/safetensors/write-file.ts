/** Writes small safetensors files whose tensors are in memory: token ids, hidden states, statistics. */

import { invariant } from '../errors/secateur-error.ts';
import { writeFileAtomic } from '../storage/atomic-file.ts';
import { layoutSafetensors, type TensorToLay } from './layout.ts';

export interface TensorToWrite extends TensorToLay {
  /** Row-major, little-endian: exactly as many bytes as dtype and shape say. */
  readonly data: Uint8Array;
}

/**
 * Writes the file whole or not at all, durably; an existing file is replaced.
 *
 * @throws StorageFull, StorageFailed; Internal when data, dtype and shape of a tensor disagree
 */
export async function writeSafetensorsFile(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const layout = layoutSafetensors(tensors, metadata);
  for (const { name, dtype, shape, data } of tensors) {
    const expected = layout.tensors.get(name)?.sizeBytes;
    const what = `${path}: ${name}, ${dtype} [${shape.join(', ')}], has ${expected} bytes of data, not ${data.length}`;
    invariant(data.length === expected, what);
  }
  await writeFileAtomic(path, [layout.headerBytes, ...tensors.map((tensor) => tensor.data)]);
}
