/**
 * One threshold over a whole matrix. A key is the metric's bits; of a 16-bit magnitude it is the weight's own bits without
 * the sign: 32768 of them, so that one count of keys is exact. Other keys are counted by their upper 16 bits first, then
 * by the lower ones of those that share the upper ones of the rank that is sought.
 */
import { countZeros, firstNonFinite } from './inspect';
import { DTYPE_F32, Job, NON_FINITE, SALIENCY_MAGNITUDE } from './job';
import { Weight } from './metric';
import { fillMetrics } from './saliency';
import { Lanes } from './widen';

/** Adds the keys of one row to job.counters; 0 or NON_FINITE. */
export function countRow(job: Job, row: usize, index: i32): i32 {
  const columns = job.columns;
  job.badColumn = firstNonFinite(job.dtype, row, columns);
  if (job.badColumn >= 0) return NON_FINITE;
  const counters = job.counters;
  if (Key.isStored(job)) {
    for (let at = row, end = row + ((<usize>columns) << 1); at < end; at += 2)
      Key.count(counters, load<u16>(at) & 0x7fff);
    return 0;
  }
  fillMetrics(job, row, index);
  const upper = job.key;
  const end = job.metrics + ((<usize>columns) << 2);
  if (upper < 0) {
    for (let at = job.metrics; at < end; at += 4) Key.count(counters, load<u32>(at) >>> 16);
    return 0;
  }
  for (let at = job.metrics; at < end; at += 4) {
    const key = load<u32>(at);
    if (<i32>(key >>> 16) == upper) Key.count(counters, key & 0xffff);
  }
  return 0;
}

/** Zeroes the weights whose key is job.key or less; zeros of the row afterwards, or NON_FINITE. */
export function pruneRowBelow(job: Job, row: usize, index: i32): i32 {
  const columns = job.columns;
  const dtype = job.dtype;
  job.badColumn = firstNonFinite(dtype, row, columns);
  if (job.badColumn >= 0) return NON_FINITE;
  const threshold = <u32>job.key;
  let column = 0;
  if (Key.isStored(job)) {
    const thresholds = i16x8.splat(<i16>threshold);
    const magnitude = Lanes.magnitude16();
    const vectorized = columns & ~7;
    for (; column < vectorized; column += 8) {
      const at = row + ((<usize>column) << 1);
      const weights = v128.load(at);
      v128.store(at, v128.and(weights, i16x8.gt_s(v128.and(weights, magnitude), thresholds)));
    }
    for (; column < columns; ++column) {
      const stored = <u32>load<u16>(row + ((<usize>column) << 1)) & 0x7fff;
      Weight.zeroIf(stored <= threshold, dtype, row, column);
    }
  } else {
    fillMetrics(job, row, index);
    for (; column < columns; ++column) {
      Weight.zeroIf(load<u32>(job.metrics + ((<usize>column) << 2)) <= threshold, dtype, row, column);
    }
  }
  return countZeros(dtype, row, columns);
}

class Key {
  @inline static isStored(job: Job): bool {
    return job.saliency == SALIENCY_MAGNITUDE && job.dtype != DTYPE_F32;
  }

  @inline static count(counters: usize, index: u32): void {
    const at = counters + ((<usize>index) << 2);
    store<u32>(at, load<u32>(at) + 1);
  }
}
