import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensorsHeader } from '../safetensors/read-header.ts';
import type { TensorLocation } from './tensor-location.ts';
export interface Checkpoint { readonly directory: string; readonly config: Record<string, unknown>; readonly shards: readonly { file: string; path: string; sizeBytes: number }[]; readonly tensors: ReadonlyMap<string, TensorLocation>; readonly totalSizeBytes: number; readonly weightMapFile: string | undefined; readonly auxiliaryFiles: readonly string[]; readonly warnings: readonly string[] }
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const names = await readdir(directory);
  const config = JSON.parse(await readFile(join(directory, 'config.json'), 'utf8'));
  const shards = []; const tensors = new Map<string, TensorLocation>();
  for (const file of names.filter((name) => name.endsWith('.safetensors')).sort()) {
    const path = await realpath(join(directory, file));
    shards.push({ file, path, sizeBytes: (await stat(path)).size });
    for (const [name, location] of (await readSafetensorsHeader(path)).tensors) tensors.set(name, location);
  }
  return { directory, config, shards, tensors, totalSizeBytes: 0, weightMapFile: undefined, auxiliaryFiles: names.filter((name) => /\.json$|tokenizer/.test(name) && !name.includes('index')), warnings: [] };
}
