/** Writes a small safetensors file, whole or not at all: token ids, hidden states, statistics. */
import { invariant } from '../errors/secateur-error.ts';
import { writeFileAtomic } from '../storage/atomic-file.ts';
import { layoutSafetensors, type TensorToLay } from './layout.ts';

export interface TensorToWrite extends TensorToLay {
  /** Row-major, little-endian. */
  readonly data: Uint8Array;
}

export async function writeSafetensorsFile(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<void> {
  const layout = layoutSafetensors(tensors, metadata);
  for (const { name, data } of tensors) {
    invariant(layout.tensors.get(name)?.sizeBytes === data.byteLength, `the data of ${name} has the size of its shape`);
  }
  await writeFileAtomic(path, [layout.headerBytes, ...tensors.map((tensor) => tensor.data)]);
}
