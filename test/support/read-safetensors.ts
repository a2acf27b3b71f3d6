/** Reads golden safetensors files whole. They are our own: no hostile file comes here, nothing is checked. */
import { readFileSync } from 'node:fs';
import type { Dtype } from '../../shared/safetensors/dtype.ts';

export interface GoldenTensor {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** At the beginning of a buffer of its own. */
  readonly bytes: Uint8Array<ArrayBuffer>;
}

export function readSafetensors(file: string | URL): Map<string, GoldenTensor> {
  const content = readFileSync(file);
  const headerSizeBytes = Number(content.readBigUInt64LE(0));
  const header = JSON.parse(content.toString('utf8', 8, 8 + headerSizeBytes)) as Record<
    string,
    { dtype: Dtype; shape: number[]; data_offsets: [number, number] }
  >;
  const tensors = new Map<string, GoldenTensor>();
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = entry.data_offsets.map((offset) => 8 + headerSizeBytes + offset) as [number, number];
    tensors.set(name, { dtype: entry.dtype, shape: entry.shape, bytes: Uint8Array.from(content.subarray(begin, end)) });
  }
  return tensors;
}

/** A tensor by its name; throws where the file has none. */
export function tensorOf(tensors: ReadonlyMap<string, GoldenTensor>, name: string): GoldenTensor {
  const tensor = tensors.get(name);
  if (tensor === undefined) throw new Error(`no golden tensor ${name}; there are ${[...tensors.keys()].join(', ')}`);
  return tensor;
}
