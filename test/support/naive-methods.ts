/**
 * Every pruning method as its formula reads: whole matrix in memory, plain sorts, float32 by Math.fround. Slow, and written
 * apart from worker/methods: tests compare the two, byte for byte.
 */
import { type StoredWeights, widenWeight } from '../../worker/kernels/reference.ts';
import type { MatrixDescription } from '../../worker/kernels/selection.ts';

const { fround } = Math;

/** |w| of every weight, [O * I]. */
function magnitudes(matrix: MatrixDescription, weights: StoredWeights): number[] {
  return Array.from(weights, (stored) => Math.abs(widenWeight(matrix.dtype, stored)));
}

/** Metrics [O * I] of a saliency. norms: [I]. */
export function naiveMetrics(
  method: string,
  matrix: MatrixDescription,
  weights: StoredWeights,
  norms: Float32Array,
  options: { readonly activationPower?: number; readonly seed?: number } = {},
): number[] {
  const { rows, columns, tensor } = matrix;
  const w = magnitudes(matrix, weights);
  const at = (i: number) => ({ row: Math.floor(i / columns), column: i % columns });
  if (method === 'magnitude') return w;
  if (method === 'wanda') return w.map((value, i) => fround(value * norms[i % columns]!));
  if (method === 'random') {
    const seed = fnv1a(`${options.seed ?? 0}:${tensor}`);
    return w.map((_, i) => fmix(fmix(at(i).column) ^ fmix(at(i).row ^ seed)) >>> 2);
  }
  const { activationPower = 0.5 } = options;
  const factors = norms.map((norm) => (activationPower === 0.5 ? Math.sqrt(norm) : norm ** activationPower));
  const columnSums = Array.from({ length: columns }, (_, column) =>
    fround(Array.from({ length: rows }, (_, row) => w[row * columns + column]!).reduce((a, b) => a + b, 0)),
  );
  const rowSums = Array.from({ length: rows }, (_, row) => {
    const sums = [0, 0, 0, 0];
    for (let column = 0; column < columns; column++) sums[column % 4]! += w[row * columns + column]!;
    return fround(sums.reduce((a, b) => a + b));
  });
  return w.map((value, i) => {
    const { row, column } = at(i);
    if (value === 0) return 0;
    const shares = fround(fround(value / columnSums[column]!) + fround(value / rowSums[row]!));
    return fround(shares * factors[column]!);
  });
}

/** Which weights go, [O * I]: of every `width` consecutive metrics, the `count` least, lower column first. */
export function naiveWithin(metrics: readonly number[], width: number, count: number): boolean[] {
  const goes = metrics.map(() => false);
  for (let first = 0; first < metrics.length; first += width) {
    const order = Array.from({ length: width }, (_, i) => first + i);
    order.sort((a, b) => less(metrics[a]!, metrics[b]!) || a - b);
    for (const index of order.slice(0, count)) goes[index] = true;
  }
  return goes;
}

/** One threshold over all: sort(metrics)[int(numel * sparsity)]. */
export function naiveThreshold(metrics: readonly number[], sparsity: number): boolean[] {
  const sorted = [...metrics].sort(less);
  const threshold = sorted[Math.floor(metrics.length * sparsity)]!;
  return metrics.map((metric) => metric <= threshold);
}

/** prune_wanda with use_variant; a row's total is the last of its cumulative sums, rather than a sum of its own. */
export function naiveCumulative(metrics: readonly number[], columns: number, sparsity: number): boolean[] {
  const rows = Array.from({ length: metrics.length / columns }, (_, r) =>
    metrics.slice(r * columns, (r + 1) * columns),
  );
  const sorted = rows.map((row) => [...row].sort(less));
  const sums = sorted.map((row) => {
    let sum = 0;
    return row.map((metric) => {
      sum += metric;
      return fround(sum);
    });
  });
  const maskAt = (alpha: number) =>
    rows.flatMap((row, r) => {
      const limit = fround(sums[r]!.at(-1)! * fround(alpha));
      const length = sums[r]!.filter((sum) => sum <= limit).length;
      return row.map((metric) => length > 0 && metric <= sorted[r]![length - 1]!);
    });
  const sparsityOf = (mask: readonly boolean[]) => fround(mask.filter(Boolean).length / mask.length);
  let alpha = 0.4;
  const history: [number, number] = [0, 0.8];
  let mask = maskAt(alpha);
  while (fround(Math.abs(sparsityOf(mask) - fround(sparsity))) > fround(0.001) && history[1] - history[0] >= 0.001) {
    const before = alpha;
    if (sparsityOf(mask) > fround(sparsity)) {
      alpha = (alpha + history[0]) / 2;
      history[1] = before;
    } else {
      alpha = (alpha + history[1]) / 2;
      history[0] = before;
    }
    mask = maskAt(alpha);
  }
  return mask;
}

function less(a: number, b: number): number {
  if (a < b) return -1;
  return a > b ? 1 : 0;
}

function fmix(x: number): number {
  let h = x | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

function fnv1a(text: string): number {
  let hash = 0x811c9dc5;
  for (const byte of Buffer.from(text, 'utf8')) hash = Math.imul(hash ^ byte, 0x01000193);
  return hash >>> 0;
}
