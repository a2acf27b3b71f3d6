/**
 * One threshold over a whole matrix, exact, without sorting it: keys are counted by their upper 16 bits, then those that
 * share the threshold's upper bits by their lower ones. Magnitudes of 16-bit weights have few enough keys for one count.
 * Source of the rule: prune_magnitude in locuslab/wanda at 8e8fc87, lib/prune.py: `sort(metric)[int(numel * ratio)]`, and
 * everything `<=` it goes: one weight more than the share at least, and all that are equal to it.
 *
 * Memory: 256 KiB of counts a thread, 512 KiB for their sum. One or two passes over the file.
 */
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { StoredMatrix } from '../kernels/kernel-pool.ts';
import type { Saliency } from '../kernels/saliency.ts';
import type { LinearJob, MethodTools } from './method.ts';
import { thresholdRank } from './selection-of.ts';

/** Prunes `sparsity` of all weights of the job's matrix. */
export async function pruneBelowThreshold(
  job: LinearJob,
  sparsity: number,
  saliency: Saliency,
  { kernels }: MethodTools,
): Promise<{ zeros: number }> {
  const { tensor, dtype, rows, columns, source, destination } = job;
  const matrix = { tensor, dtype, rows, columns, source };
  const isEmpty = rows * columns === 0;
  const key = isEmpty ? 0 : await findThreshold(matrix, thresholdRank(rows * columns, sparsity), saliency, kernels);
  return kernels.pruneMatrix({ ...matrix, destination, saliency, selection: { kind: 'below', key } });
}

async function findThreshold(
  matrix: StoredMatrix,
  rank: number,
  saliency: Saliency,
  kernels: MethodTools['kernels'],
): Promise<number> {
  const upper = findRank(await kernels.countKeys(matrix, saliency, null), rank);
  if (saliency.kind === 'magnitude' && matrix.dtype !== 'F32') return upper.key;
  const lower = findRank(await kernels.countKeys(matrix, saliency, upper.key), rank - upper.before);
  return upper.key * 65536 + lower.key;
}

/** The key of the weight at `rank`, from 0, and how many have a smaller one. */
function findRank(counts: Float64Array, rank: number): { key: number; before: number } {
  let before = 0;
  for (const [key, count] of counts.entries()) {
    if (rank < before + count) return { key, before };
    before += count;
  }
  invariant(false, `there are more than ${rank} weights`);
}
