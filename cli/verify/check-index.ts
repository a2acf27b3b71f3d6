/** The index of a sharded checkpoint against the shards themselves. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import type { SafetensorsFile } from '../../shared/safetensors/read-header.ts';

const INDEX_FILE = 'model.safetensors.index.json';

/** @param shards by their names in the directory. @returns deviations */
export async function checkIndex(
  directory: string,
  files: readonly string[],
  shards: ReadonlyMap<string, SafetensorsFile>,
): Promise<string[]> {
  if (!files.includes(INDEX_FILE)) {
    return shards.size > 1 ? [`${INDEX_FILE}: missing, and there are ${shards.size} shards`] : [];
  }
  const index = parseIndex(await readFile(join(directory, INDEX_FILE), 'utf8'));
  if (index === null) return [`${INDEX_FILE}: expected JSON with a weight_map of tensor names to file names`];
  const deviations: string[] = [];
  const unlisted = new Set([...shards].flatMap(([, shard]) => [...shard.tensors.keys()]));
  for (const [tensor, file] of Object.entries(index.weightMap)) {
    unlisted.delete(tensor);
    if (!shards.get(file)?.tensors.has(tensor)) deviations.push(`${INDEX_FILE}: ${tensor} is not in ${file}`);
  }
  for (const tensor of unlisted) deviations.push(`${INDEX_FILE}: ${tensor} is in a shard but not in weight_map`);
  const total = [...shards.values()].flatMap((shard) => [...shard.tensors.values()]).reduce(addSize, 0);
  if (index.totalSize !== total) {
    deviations.push(`${INDEX_FILE}: total_size is ${index.totalSize}, the tensors have ${total} bytes`);
  }
  return deviations;
}

function parseIndex(text: string): { weightMap: Record<string, string>; totalSize: unknown } | null {
  try {
    const { weight_map: weightMap, metadata } = JSON.parse(text) as {
      weight_map?: Record<string, string>;
      metadata?: { total_size?: unknown };
    };
    if (typeof weightMap !== 'object' || weightMap === null) return null;
    return { weightMap, totalSize: metadata?.total_size };
  } catch (thrown) {
    if (thrown instanceof SyntaxError || thrown instanceof TypeError) return null;
    throw thrown;
  }
}

function addSize(sum: number, tensor: TensorLocation): number {
  return sum + tensor.sizeBytes;
}
