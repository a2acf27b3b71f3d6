/**
 * The metrics of one row, for the saliencies and the selections that want them all at once: four columns at a time, in
 * the order of the columns, as bits that order as the metrics do (none is negative).
 */
import { DTYPE_BF16, DTYPE_F32, Job, SALIENCY_MAGNITUDE, SALIENCY_RANDOM, SALIENCY_RELATIVE } from './job';
import { Metric } from './metric';
import { Lanes, Widen } from './widen';

export class Row {
  /** |w| of four columns as float32. */
  @inline static four(dtype: i32, row: usize, column: i32): v128 {
    if (dtype == DTYPE_F32) return v128.and(v128.load(row + ((<usize>column) << 2)), Lanes.magnitude32());
    const weights = v128.load_ext<u16>(row + ((<usize>column) << 1));
    if (dtype == DTYPE_BF16) return Widen.evenBf16(weights, Lanes.magnitude32());
    return Widen.rebiasF16(i32x4.shl(v128.and(weights, Lanes.magnitude16()), 13));
  }

  @inline static one(dtype: i32, row: usize, column: i32): f32 {
    if (dtype == DTYPE_F32) return abs<f32>(load<f32>(row + ((<usize>column) << 2)));
    return Widen.one(dtype, load<u16>(row + ((<usize>column) << 1)));
  }
}

/** Writes u32 [columns] to job.metrics. `index`: of the row in its matrix. All weights are finite. */
export function fillMetrics(job: Job, row: usize, index: i32): void {
  switch (job.saliency) {
    case SALIENCY_RELATIVE:
      fillRelative(job, row);
      break;
    case SALIENCY_RANDOM:
      fillRandom(job, index);
      break;
    case SALIENCY_MAGNITUDE:
      fillMagnitude(job, row);
      break;
    default:
      fillNormed(job, row);
  }
}

/** Norms as in Job: split into even and odd columns for 16-bit weights. */
function fillNormed(job: Job, row: usize): void {
  const columns = job.columns;
  const dtype = job.dtype;
  const metrics = job.metrics;
  const normsEven = job.normsEven;
  const normsOdd = job.normsOdd;
  const vectorized = columns & ~3;
  let column = 0;
  for (; column < vectorized; column += 4) {
    const at = (<usize>column) << 2;
    let norms: v128;
    if (dtype == DTYPE_F32) {
      norms = v128.load(normsEven + at);
    } else {
      const even = v128.load_zero<u64>(normsEven + (at >> 1));
      norms = v128.shuffle<i32>(even, v128.load_zero<u64>(normsOdd + (at >> 1)), 0, 4, 1, 5);
    }
    v128.store(metrics + at, f32x4.mul(Row.four(dtype, row, column), norms));
  }
  for (; column < columns; ++column) {
    store<f32>(metrics + ((<usize>column) << 2), Metric.of(dtype, row, normsEven, normsOdd, column));
  }
}

function fillMagnitude(job: Job, row: usize): void {
  const columns = job.columns;
  const dtype = job.dtype;
  const metrics = job.metrics;
  const vectorized = columns & ~3;
  let column = 0;
  for (; column < vectorized; column += 4) v128.store(metrics + ((<usize>column) << 2), Row.four(dtype, row, column));
  for (; column < columns; ++column) store<f32>(metrics + ((<usize>column) << 2), Row.one(dtype, row, column));
}

/** (|w| / columnSum + |w| / rowSum) * factor, each step in float32. */
function fillRelative(job: Job, row: usize): void {
  const columns = job.columns;
  const dtype = job.dtype;
  const metrics = job.metrics;
  const columnSums = job.tables;
  const factors = job.normsEven;
  const rowSum = sumRow(job, row);
  const rowSums = f32x4.splat(rowSum);
  const vectorized = columns & ~3;
  let column = 0;
  for (; column < vectorized; column += 4) {
    const at = (<usize>column) << 2;
    const weights = Row.four(dtype, row, column);
    const shares = f32x4.add(f32x4.div(weights, v128.load(columnSums + at)), f32x4.div(weights, rowSums));
    v128.store(metrics + at, f32x4.mul(shares, v128.load(factors + at)));
  }
  for (; column < columns; ++column) {
    const at = (<usize>column) << 2;
    const weight = Row.one(dtype, row, column);
    const shares: f32 = weight / load<f32>(columnSums + at) + weight / rowSum;
    store<f32>(metrics + at, shares * load<f32>(factors + at));
  }
}

/**
 * Sum of a row's |w| as float32, 1 where it is 0 (then every weight is, and 0 / 1 is what the metric wants). Added up in
 * float64 by the column modulo 4, then the four sums in their order.
 */
function sumRow(job: Job, row: usize): f32 {
  const columns = job.columns;
  const dtype = job.dtype;
  let low = f64x2.splat(0);
  let high = f64x2.splat(0);
  const vectorized = columns & ~3;
  let column = 0;
  for (; column < vectorized; column += 4) {
    const weights = Row.four(dtype, row, column);
    low = f64x2.add(low, f64x2.promote_low_f32x4(weights));
    high = f64x2.add(high, f64x2.promote_low_f32x4(v128.shuffle<u32>(weights, weights, 2, 3, 2, 3)));
  }
  let sum0 = f64x2.extract_lane(low, 0);
  let sum1 = f64x2.extract_lane(low, 1);
  let sum2 = f64x2.extract_lane(high, 0);
  if (column < columns) sum0 += <f64>Row.one(dtype, row, column);
  if (column + 1 < columns) sum1 += <f64>Row.one(dtype, row, column + 1);
  if (column + 2 < columns) sum2 += <f64>Row.one(dtype, row, column + 2);
  const sum = <f32>(sum0 + sum1 + sum2 + f64x2.extract_lane(high, 1));
  return sum == 0 ? 1 : sum;
}

/** 30 bits for every place: mix(mix(column) ^ mix(row ^ seed)) without its two lowest. No key is as large as a padding. */
function fillRandom(job: Job, index: i32): void {
  const columns = job.columns;
  const metrics = job.metrics;
  const rowKey = i32x4.splat(Mix.one(<u32>index ^ job.seed));
  let places = i32x4(0, 1, 2, 3);
  const step = i32x4.splat(4);
  // Beyond the last column there is room for three.
  for (let column = 0; column < columns; column += 4) {
    v128.store(metrics + ((<usize>column) << 2), i32x4.shr_u(Mix.four(v128.xor(Mix.four(places), rowKey)), 2));
    places = i32x4.add(places, step);
  }
}

class Mix {
  /** The finalizer of MurmurHash3, on four numbers. */
  @inline static four(x: v128): v128 {
    x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 16)), i32x4.splat(0x85ebca6b));
    x = i32x4.mul(v128.xor(x, i32x4.shr_u(x, 13)), i32x4.splat(0xc2b2ae35));
    return v128.xor(x, i32x4.shr_u(x, 16));
  }

  @inline static one(x: u32): u32 {
    return <u32>i32x4.extract_lane(Mix.four(i32x4.splat(x)), 0);
  }
}
