/**
 * The prune kernel: AssemblyScript, WebAssembly SIMD128, no heap and no garbage collector. Every buffer is passed by
 * address in a memory that the caller owns and shares between threads; each thread has its own Job block and scratch.
 *
 * metric = |w| * norm[column] in float32, or what job.saliency says. Chosen weights are written as +0, all others keep their bits. Each function
 * returns the number of zeros in the rows afterwards, or NON_FINITE with job.badRow and job.badColumn: then the rows
 * before the bad one are done, the bad one is untouched.
 *
 * V8 compiles a running call no better while it runs: call once per chunk of about 1 MiB, not once per matrix.
 */
import { addRow } from './column-sums';
import { countRowCumulative, pruneRowCumulative } from './cumulative';
import { pruneFour, pruneNormedGroups } from './group';
import { countZeros, firstNonFinite } from './inspect';
import { DTYPE_F32, Job, NON_FINITE, SALIENCY_MAGNITUDE, SALIENCY_NORMED } from './job';
import { Weight } from './metric';
import { pruneNormedRow } from './row';
import { fillMetrics } from './saliency';
import { selectThreshold } from './select-exact';
import { countRow, pruneRowBelow } from './threshold';
import { zeroChosen } from './zero-chosen';

/** Groups up to so many columns are ranked by comparing each with each: a bisection takes longer. */
const RANKED_MAX: i32 = 8;

/** weights: [rows, job.columns], row-major. Zeroes job.pruned weights in every row. */
export function pruneRows(job: Job, weights: usize, rows: i32): i32 {
  const rowSizeBytes = rowSize(job);
  let zeros = 0;
  for (let row = 0, at = weights; row < rows; ++row, at += rowSizeBytes) {
    const found = usesNorms(job) ? pruneNormedRow(job, at) : pruneRow(job, at, job.firstRow + row);
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
  const vectorized = usesNorms(job) && (group == 4 || group == 8) ? columns & ~7 : 0;
  let zeros = 0;
  for (let row = 0, at = weights; row < rows; ++row, at += rowSizeBytes) {
    // This also brings the row into the cache: the long loop of pruneNormedGroups keeps too few loads in flight for that.
    job.badColumn = firstNonFinite(job.dtype, at, columns);
    if (job.badColumn >= 0) {
      job.badRow = row;
      return NON_FINITE;
    }
    if (vectorized) pruneNormedGroups(job.dtype, group, at, job.normsEven, job.normsOdd, vectorized, job.pruned);
    if (vectorized < columns) fillMetrics(job, at, job.firstRow + row);
    for (let first = vectorized; first < columns; first += group) pruneGroup(job, at, first);
    zeros += countZeros(job.dtype, at, columns);
  }
  return zeros;
}

/** Zeroes every weight whose key is job.key or less (threshold.ts). */
export function pruneBelow(job: Job, weights: usize, rows: i32): i32 {
  return eachRow(job, weights, rows, pruneRowBelow);
}

/** Wanda's variant at job.alpha (cumulative.ts). */
export function pruneCumulative(job: Job, weights: usize, rows: i32): i32 {
  return eachRow(job, weights, rows, pruneRowCumulative);
}

/** Changes nothing: counts keys into job.counters. */
export function countKeys(job: Job, weights: usize, rows: i32): i32 {
  return eachRow(job, weights, rows, countRow);
}

/** Changes nothing: counts into job.counters what each alpha would zero. */
export function countCumulative(job: Job, weights: usize, rows: i32): i32 {
  return eachRow(job, weights, rows, countRowCumulative);
}

/** Changes nothing: adds |w| to job.columnTotals. */
export function addColumnSums(job: Job, weights: usize, rows: i32): i32 {
  return eachRow(job, weights, rows, (job, row, _) => addRow(job, row));
}

/** Changes nothing: finds the first non-finite weight, counts the zeros. */
export function inspectRows(job: Job, weights: usize, rows: i32): i32 {
  return eachRow(job, weights, rows, (job, row, _) => inspectRow(job, row));
}

/** Sums what `pass` returns for each row; stops at the first row with a non-finite weight. */
function eachRow(job: Job, weights: usize, rows: i32, pass: (job: Job, row: usize, index: i32) => i32): i32 {
  const rowSizeBytes = rowSize(job);
  let sum = 0;
  for (let row = 0, at = weights; row < rows; ++row, at += rowSizeBytes) {
    const found = pass(job, at, job.firstRow + row);
    if (found == NON_FINITE) {
      job.badRow = row;
      return NON_FINITE;
    }
    sum += found;
  }
  return sum;
}

function inspectRow(job: Job, row: usize): i32 {
  job.badColumn = firstNonFinite(job.dtype, row, job.columns);
  return job.badColumn >= 0 ? NON_FINITE : countZeros(job.dtype, row, job.columns);
}

/** Whether the metric is a product with a norm, which whole rows and groups of 4 and 8 have a faster way for. */
function usesNorms(job: Job): bool {
  return job.saliency == SALIENCY_NORMED || job.saliency == SALIENCY_MAGNITUDE;
}

function rowSize(job: Job): usize {
  return (<usize>job.columns) << (job.dtype == DTYPE_F32 ? 2 : 1);
}

/** Any dtype, any saliency. */
function pruneRow(job: Job, row: usize, index: i32): i32 {
  job.badColumn = firstNonFinite(job.dtype, row, job.columns);
  if (job.badColumn >= 0) return NON_FINITE;
  if (job.pruned > 0) {
    fillMetrics(job, row, index);
    pruneSegment(job, row, 0, job.columns, job.metrics);
  }
  return countZeros(job.dtype, row, job.columns);
}

/** One group of a row whose metrics are all in job.metrics. */
function pruneGroup(job: Job, row: usize, first: i32): void {
  const count = job.group;
  const metrics = job.metrics + ((<usize>first) << 2);
  if (count == 4) {
    pruneFour(job.dtype, row, first, metrics, job.pruned);
    return;
  }
  if (count > RANKED_MAX) {
    // A selection writes behind the last metric, where those of the next group are.
    memory.copy(job.candidates, metrics, (<usize>count) << 2);
    pruneSegment(job, row, first, count, job.candidates);
    return;
  }
  for (let i = 0; i < count; ++i) {
    const metric = load<u32>(metrics + ((<usize>i) << 2));
    let rank = 0;
    for (let j = 0; j < count; ++j) {
      const other = load<u32>(metrics + ((<usize>j) << 2));
      rank += i32(j < i ? other <= metric : other < metric);
    }
    Weight.zeroIf(rank < job.pruned, job.dtype, row, first + i);
  }
}

/** Zeroes job.pruned of the columns [first, first + count), whose metrics are u32 [count] with room for three more. */
function pruneSegment(job: Job, row: usize, first: i32, count: i32, metrics: usize): void {
  const packed = selectThreshold(metrics, count, min(job.pruned, count));
  zeroChosen(job.dtype, row, first, metrics, count, packed);
}
