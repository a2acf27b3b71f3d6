/**
 * Wanda's variant: every row has its own threshold, where the sum of its sorted metrics reaches alpha times that of all;
 * one alpha for the matrix is bisected until the matrix has the sparsity. A row of which nothing fits keeps all its weights.
 * Source: prune_wanda with use_variant and return_given_alpha in locuslab/wanda at 8e8fc87, lib/prune.py.
 *
 * The reference tries one alpha after the other. The alphas that its bisection can come to are known beforehand, 2047 of
 * them: one pass counts what each would zero, the bisection is then arithmetic, and a second pass prunes.
 *
 * Memory: 8 I + 16 KiB a thread beside the kernel's chunks, 24 KiB of alphas and counts.
 */
import type { Saliency } from '../kernels/saliency.ts';
import type { LinearJob, MethodTools } from './method.ts';

const ALPHA_FIRST = 0.4;
const ALPHA_RANGE = [0, 0.8] as const;
/** The bisection ends so near the sparsity, or with an interval as narrow. */
const TOLERANCE = 0.001;

interface Interval {
  readonly alpha: number;
  readonly low: number;
  readonly high: number;
}

export async function pruneCumulative(
  job: LinearJob,
  sparsity: number,
  saliency: Extract<Saliency, { kind: 'normed' }>,
  { kernels, notice }: MethodTools,
): Promise<{ zeros: number }> {
  const elements = job.rows * job.columns;
  const alphas = reachableAlphas();
  const counts = await kernels.countCumulative(job, saliency, Float32Array.from(alphas));
  const countOf = new Map(alphas.map((alpha, index) => [alpha, counts[index] as number]));
  const found = bisectAlpha(sparsity, elements, (alpha) => countOf.get(alpha) as number);
  notice(`${job.tensor}: alpha ${found.alpha.toFixed(6)} gives sparsity ${found.sparsity.toFixed(6)} (of ${sparsity})`);
  return kernels.pruneMatrix({ ...job, saliency, selection: { kind: 'cumulative', alpha: Math.fround(found.alpha) } });
}

/**
 * countAt: how many of the elements an alpha zeroes. Alphas are float64, sparsities float32, as in the reference.
 * Returns the alpha where the reference's loop ends, which need not be within the tolerance.
 */
function bisectAlpha(
  sparsity: number,
  elements: number,
  countAt: (alpha: number) => number,
): { alpha: number; sparsity: number } {
  const wanted = Math.fround(sparsity);
  let interval = firstInterval();
  while (true) {
    const found = Math.fround(countAt(interval.alpha) / elements);
    const isNear = !(Math.fround(Math.abs(found - wanted)) > Math.fround(TOLERANCE));
    if (isNear || isNarrow(interval)) return { alpha: interval.alpha, sparsity: found };
    interval = found > wanted ? lowerHalf(interval) : upperHalf(interval);
  }
}

/** Every alpha that the bisection can come to, ascending. */
function reachableAlphas(interval = firstInterval()): number[] {
  if (isNarrow(interval)) return [interval.alpha];
  return [...reachableAlphas(lowerHalf(interval)), interval.alpha, ...reachableAlphas(upperHalf(interval))];
}

function firstInterval(): Interval {
  return { alpha: ALPHA_FIRST, low: ALPHA_RANGE[0], high: ALPHA_RANGE[1] };
}

function isNarrow({ low, high }: Interval): boolean {
  return high - low < TOLERANCE;
}

function lowerHalf({ alpha, low }: Interval): Interval {
  return { alpha: (alpha + low) / 2, low, high: alpha };
}

function upperHalf({ alpha, high }: Interval): Interval {
  return { alpha: (alpha + high) / 2, low: alpha, high };
}
