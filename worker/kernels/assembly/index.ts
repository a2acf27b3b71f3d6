/**
 * The prune kernel: AssemblyScript, WebAssembly SIMD128, no heap and no garbage collector. Every buffer is passed by
 * address in a memory that the caller owns and shares between threads; each thread has its own Job block and scratch.
 *
 * metric = |w| * norm[column] in float32. Chosen weights are written as +0, all others keep their bits. Each function
 * returns the number of zeros in the rows afterwards, or NON_FINITE with job.badRow and job.badColumn: then the rows
 * before the bad one are done, the bad one is untouched.
 *
 * V8 compiles a running call no better while it runs: call once per chunk of about 1 MiB, not once per matrix.
 */
import { pruneGroups16 } from './group-16';
import { countZeros, firstNonFinite } from './inspect';
import { DTYPE_F32, Job, NON_FINITE } from './job';
import { Metric, Weight } from './metric';
import { pruneRow16 } from './row-16';
import { selectThreshold, Threshold } from './select-exact';

/** weights: [rows, job.columns], row-major. Zeroes job.pruned weights in every row. */
export function pruneRows(job: Job, weights: usize, rows: i32): i32 {
  const rowSizeBytes = rowSize(job);
  let zeros = 0;
  for (let row = 0, at = weights; row < rows; ++row, at += rowSizeBytes) {
    const found = job.dtype == DTYPE_F32 ? pruneRow32(job, at) : pruneRow16(job, at);
    if (found == NON_FINITE) {
      job.badRow = row;
      return NON_FINITE;
    }
    zeros += found;
  }
  return zeros;
}

/** Zeroes job.pruned weights in every group of job.group columns; columns are a multiple of the group. */
export function pruneGroups(job: Job, weights: usize, rows: i32): i32 {
  const rowSizeBytes = rowSize(job);
  const columns = job.columns;
  const group = job.group;
  const vectorized = job.dtype != DTYPE_F32 && (group == 4 || group == 8) ? columns & ~7 : 0;
  let zeros = 0;
  for (let row = 0, at = weights; row < rows; ++row, at += rowSizeBytes) {
    // This also brings the row into the cache: the long loop of pruneGroups16 keeps too few loads in flight for that.
    job.badColumn = firstNonFinite(job.dtype, at, columns);
    if (job.badColumn >= 0) {
      job.badRow = row;
      return NON_FINITE;
    }
    if (vectorized) pruneGroups16(job.dtype, group, at, job.normsEven, job.normsOdd, vectorized, job.pruned);
    for (let first = vectorized; first < columns; first += group) pruneSegment(job, at, first, group, job.pruned);
    zeros += countZeros(job.dtype, at, columns);
  }
  return zeros;
}

/** Changes nothing: finds the first non-finite weight, counts the zeros. */
export function inspectRows(job: Job, weights: usize, rows: i32): i32 {
  const rowSizeBytes = rowSize(job);
  let zeros = 0;
  for (let row = 0, at = weights; row < rows; ++row, at += rowSizeBytes) {
    job.badColumn = firstNonFinite(job.dtype, at, job.columns);
    if (job.badColumn >= 0) {
      job.badRow = row;
      return NON_FINITE;
    }
    zeros += countZeros(job.dtype, at, job.columns);
  }
  return zeros;
}

function rowSize(job: Job): usize {
  return (<usize>job.columns) << (job.dtype == DTYPE_F32 ? 2 : 1);
}

function pruneRow32(job: Job, row: usize): i32 {
  job.badColumn = firstNonFinite(job.dtype, row, job.columns);
  if (job.badColumn >= 0) return NON_FINITE;
  pruneSegment(job, row, 0, job.columns, job.pruned);
  return countZeros(job.dtype, row, job.columns);
}

/** Any dtype, any number of columns: zeroes `pruned` of the columns [first, first + count). Plain, for the rarer cases. */
function pruneSegment(job: Job, row: usize, first: i32, count: i32, pruned: i32): void {
  if (pruned <= 0) return;
  const metrics = job.metrics;
  for (let i = 0; i < count; ++i) store<u32>(metrics + ((<usize>i) << 2), Metric.bitsOf(job, row, first + i));
  const packed = selectThreshold(metrics, count, min(pruned, count));
  const threshold = Threshold.value(packed);
  for (let i = 0; i < count; ++i) {
    Weight.zeroIf(load<u32>(metrics + ((<usize>i) << 2)) < threshold, job.dtype, row, first + i);
  }
  let ties = Threshold.ties(packed);
  for (let i = 0; ties > 0; ++i) {
    if (load<u32>(metrics + ((<usize>i) << 2)) != threshold) continue;
    Weight.zero(job.dtype, row, first + i);
    --ties;
  }
}
