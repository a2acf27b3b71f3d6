/**
 * Random: saliency is a number drawn for every place by (seed, tensor name, row, column), the floor that other methods are
 * compared with. Within each row, or within the groups of a pattern. Needs no calibration.
 * The draw is a hash, not a stream: no thread or machine, and no tensor pruned before, changes it.
 *
 * Memory: the kernel's chunks.
 */
import type { PruningMethod } from './method.ts';
import { rowSelection } from './selection-of.ts';

const FNV_OFFSET = 0x811c9dc5;
const FNV_PRIME = 0x01000193;

export const random: PruningMethod = {
  name: 'random',
  needs: 'nothing',
  pruneLinear: async (job, tools) => {
    const { choice, options, columns, tensor } = job;
    const saliency = { kind: 'random', seed: tensorSeed(options.seed ?? 0, tensor) } as const;
    return tools.kernels.pruneMatrix({ ...job, saliency, selection: rowSelection(choice, columns, tensor) });
  },
};

/** 32 bits for a seed and a tensor: FNV-1a of "seed:name" in UTF-8. */
function tensorSeed(seed: number, tensor: string): number {
  let hash = FNV_OFFSET;
  for (const byte of new TextEncoder().encode(`${seed}:${tensor}`)) hash = Math.imul(hash ^ byte, FNV_PRIME);
  return hash >>> 0;
}
