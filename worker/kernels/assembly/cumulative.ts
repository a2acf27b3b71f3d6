/**
 * Wanda's variant: in a row sorted by metric, the longest beginning whose sum is at most alpha times the row's; its last
 * metric is the row's threshold, all weights up to it go. No beginning: nothing goes.
 * Source: return_given_alpha in locuslab/wanda at 8e8fc87, lib/prune.py. Sums are taken in float64, in sorted order, and
 * each beginning's is rounded to float32, as torch.cumsum does it on a CPU.
 */
import { countZeros, firstNonFinite } from './inspect';
import { Job, NON_FINITE } from './job';
import { Weight } from './metric';
import { fillMetrics } from './saliency';
import { sortMetrics } from './sort';

/** For each of the ascending alphas, adds to job.counters how many weights of the row would go; 0 or NON_FINITE. */
export function countRowCumulative(job: Job, row: usize, index: i32): i32 {
  const columns = job.columns;
  job.badColumn = firstNonFinite(job.dtype, row, columns);
  if (job.badColumn >= 0) return NON_FINITE;
  fillMetrics(job, row, index);
  const sorted = sortMetrics(job);
  const total = sumSorted(sorted, columns);
  let sum: f64 = 0;
  let length = 0;
  let chosen = 0;
  for (let i = 0; i < job.alphaCount; ++i) {
    const at = (<usize>i) << 2;
    const limit: f32 = total * load<f32>(job.tables + at);
    while (length < columns && <f32>(sum + Sorted.metricAt(sorted, length)) <= limit)
      sum += Sorted.metricAt(sorted, length++);
    // Metrics equal to the threshold go with it.
    if (length > chosen) {
      chosen = length;
      const threshold = load<u32>(sorted + ((<usize>(length - 1)) << 2));
      while (chosen < columns && load<u32>(sorted + ((<usize>chosen) << 2)) == threshold) ++chosen;
    }
    const counter = job.counters + at;
    store<u32>(counter, load<u32>(counter) + <u32>chosen);
  }
  return 0;
}

/** Zeroes what goes at job.alpha; zeros of the row afterwards, or NON_FINITE. */
export function pruneRowCumulative(job: Job, row: usize, index: i32): i32 {
  const columns = job.columns;
  const dtype = job.dtype;
  job.badColumn = firstNonFinite(dtype, row, columns);
  if (job.badColumn >= 0) return NON_FINITE;
  fillMetrics(job, row, index);
  const sorted = sortMetrics(job);
  const limit: f32 = sumSorted(sorted, columns) * job.alpha;
  let sum: f64 = 0;
  let length = 0;
  while (length < columns && <f32>(sum + Sorted.metricAt(sorted, length)) <= limit)
    sum += Sorted.metricAt(sorted, length++);
  if (length > 0) {
    const threshold = load<u32>(sorted + ((<usize>(length - 1)) << 2));
    for (let column = 0; column < columns; ++column) {
      Weight.zeroIf(load<u32>(job.metrics + ((<usize>column) << 2)) <= threshold, dtype, row, column);
    }
  }
  return countZeros(dtype, row, columns);
}

function sumSorted(sorted: usize, columns: i32): f32 {
  let sum: f64 = 0;
  for (let i = 0; i < columns; ++i) sum += Sorted.metricAt(sorted, i);
  return <f32>sum;
}

class Sorted {
  @inline static metricAt(sorted: usize, index: i32): f64 {
    return <f64>load<f32>(sorted + ((<usize>index) << 2));
  }
}
