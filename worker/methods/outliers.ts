/**
 * Outliers of a layer: weights whose metric |w| · ‖x_c‖ (Wanda's) is above `threshold` times the mean metric over all of
 * the layer's linears. How many there are is what OWL gives layers their sparsity by (coordinator/core/owl.ts).
 *
 * Source: Yin et al., "Outlier Weighed Layerwise Sparsity (OWL)", ICML 2024, arXiv:2310.05175; check_outlier_mean in
 * luuyin/OWL, lib/prune_all.py.
 *
 * Metrics are float32, as everywhere; the mean is taken in float64 from sums of columns, and the bound `threshold · mean` is
 * rounded to float32. Every step is independent of threads.
 *
 * Memory: the kernel's chunks, one vector [I] of float64 and up to 32 more while columns are summed, and 512 KiB of counts.
 * Three passes over the weights.
 */
import type { KernelPool, StoredMatrix } from '../kernels/kernel-pool.ts';
import type { Saliency } from '../kernels/saliency.ts';
import { columnNorms } from './column-norms.ts';
import type { LinearStatistic } from './method.ts';

/** A linear [O, I] and what calibration learned about its input. */
export interface MeasuredLinear extends StoredMatrix {
  readonly statistic: LinearStatistic;
}

export interface OutlierCount {
  readonly outliers: number;
  readonly weights: number;
}

/**
 * @param threshold how many times the mean, above 0
 * @param progress told after each linear: weights looked at so far, each twice
 * @throws NonFiniteValue (statistic or weight), and what KernelPool.countKeys throws
 */
export async function countOutliers(
  linears: readonly MeasuredLinear[],
  threshold: number,
  kernels: KernelPool,
  progress: (weights: number) => void,
): Promise<OutlierCount> {
  const normed = linears.map((linear) => ({ linear, columnNorms: columnNorms(linear.statistic) }));
  let [weights, sum, seen] = [0, 0, 0];
  const see = ({ rows, columns }: MeasuredLinear): void => {
    seen += rows * columns;
    progress(seen);
  };
  for (const { linear, columnNorms: norms } of normed) {
    const columnSums = await kernels.sumColumns(linear);
    sum += columnSums.reduce((total, column, index) => total + column * (norms[index] as number), 0);
    weights += linear.rows * linear.columns;
    see(linear);
  }
  const bound = Math.fround((threshold * sum) / Math.max(1, weights));
  let outliers = 0;
  for (const { linear, columnNorms: norms } of normed) {
    outliers += await countAbove(linear, { kind: 'normed', columnNorms: norms }, bound, kernels);
    see(linear);
  }
  return { outliers, weights };
}

/** Metrics above `bound`: keys order as they do, and are counted by their upper 16 bits, then within the bound's by the lower. */
async function countAbove(
  matrix: StoredMatrix,
  saliency: Saliency,
  bound: number,
  kernels: KernelPool,
): Promise<number> {
  if (matrix.rows * matrix.columns === 0) return 0;
  const key = new Uint32Array(Float32Array.of(bound).buffer)[0] as number;
  const upper = key >>> 16;
  const isAbove = (limit: number) => (sum: number, count: number, at: number) => (at > limit ? sum + count : sum);
  const counts = await kernels.countKeys(matrix, saliency, null);
  const lower = counts[upper] === 0 ? [] : await kernels.countKeys(matrix, saliency, upper);
  return counts.reduce(isAbove(upper), 0) + [...lower].reduce(isAbove(key & 0xffff), 0);
}
