/**
 * What the kernel does in one pass over a matrix, and which memory that needs. A pass prunes (and is written), or looks:
 * its result is then in the memory, for kernel-pool.ts to add up.
 */
import type { LayoutNeeds } from './kernel-layout.ts';
import type { Saliency } from './saliency.ts';
import type { MatrixDescription, Selection } from './selection.ts';

export type KernelPass =
  | { readonly kind: 'prune'; readonly saliency: SaliencyCode; readonly selection: Selection }
  | { readonly kind: 'countKeys'; readonly saliency: SaliencyCode; readonly upper: number | null }
  | { readonly kind: 'countCumulative'; readonly saliency: SaliencyCode; readonly alphaCount: number }
  | { readonly kind: 'sumColumns' };

/** A saliency without its vectors: those stand in the memory. */
export type SaliencyCode = { readonly kind: Saliency['kind']; readonly seed: number };

/** Keys have two halves of 16 bits. */
export const KEY_HALF_COUNT = 65536;

/** Sums of columns are kept for so many blocks of rows at most: blocks depend on the matrix alone, threads do not. */
const SUM_BLOCKS_MAX = 32;

export function codeOf(saliency: Saliency): SaliencyCode {
  return { kind: saliency.kind, seed: saliency.kind === 'random' ? saliency.seed : 0 };
}

/** How many chunks a thread claims at once. */
export function chunksPerBlock(pass: KernelPass, chunkCount: number): number {
  return pass.kind === 'sumColumns' ? Math.max(1, Math.ceil(chunkCount / SUM_BLOCKS_MAX)) : 1;
}

/** chunkCount: of the whole matrix. */
export function layoutNeeds(pass: KernelPass, matrix: MatrixDescription, chunkCount: number): LayoutNeeds {
  switch (pass.kind) {
    case 'prune': {
      const tableBytes = pass.saliency.kind === 'relative' ? matrix.columns * 4 : 0;
      return { tableBytes, counterBytes: 0, sorts: pass.selection.kind === 'cumulative' };
    }
    case 'countKeys': {
      const tableBytes = pass.saliency.kind === 'relative' ? matrix.columns * 4 : 0;
      return { tableBytes, counterBytes: KEY_HALF_COUNT * 4, sorts: false };
    }
    case 'countCumulative':
      return { tableBytes: pass.alphaCount * 4, counterBytes: pass.alphaCount * 4, sorts: true };
    case 'sumColumns': {
      const blocks = Math.ceil(chunkCount / chunksPerBlock(pass, chunkCount));
      return { tableBytes: blocks * matrix.columns * 8, counterBytes: 0, sorts: false };
    }
  }
}
