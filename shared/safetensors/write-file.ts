import { writeFileAtomic } from '../storage/atomic-file.ts';
import { layoutSafetensors, type TensorToLay } from './layout.ts';
export interface TensorToWrite extends TensorToLay { readonly data: Uint8Array }
export async function writeSafetensorsFile(path: string, tensors: readonly TensorToWrite[], metadata?: Readonly<Record<string, string>>): Promise<void> {
  const layout = layoutSafetensors(tensors, metadata);
  await writeFileAtomic(path, [layout.headerBytes, ...tensors.map((tensor) => tensor.data)]);
}
