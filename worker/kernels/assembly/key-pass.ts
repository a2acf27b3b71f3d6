/**
 * First pass over a row: a 16-bit key of every metric, and the sum of all metrics.
 *
 * key = bits(|w| * norm) >> 15, its top bit flipped so that signed comparison orders keys as metrics. Two metrics with
 * different keys are ordered by them; only those that share the threshold's key need their full bits later.
 */
import { DTYPE_BF16, DTYPE_F16, Job } from './job';
import { Metric } from './metric';
import { Lanes, Widen } from './widen';

/** The key of metric zero, and one above the key of an infinite metric (0x7f00): what fills the last block. */
export const KEY_MIN: i32 = -32768;
export const KEY_PADDING: i32 = 32767;

/** Columns in one round of the vector loop, and in one block of countBelow. */
const COLUMNS_A_ROUND: i32 = 16;
const KEYS_A_BLOCK: i32 = 32;

class Key {
  @inline static of(metric: f32): i16 {
    return <i16>((reinterpret<u32>(metric) >>> 15) ^ 0x8000);
  }
  /** Eight keys in the order of the columns from the metrics of four even and four odd ones. */
  @inline static pack(even: v128, odd: v128, oddHalf: v128, signs16: v128): v128 {
    return v128.xor(v128.or(i32x4.shr_u(even, 15), v128.and(i32x4.shl(odd, 1), oddHalf)), signs16);
  }
  /** The same from eight metrics in the order of the columns. A metric's upper bits never exceed 16: nothing saturates. */
  @inline static narrow(left: v128, right: v128, signs16: v128): v128 {
    return v128.xor(i16x8.narrow_i32x4_u(i32x4.shr_u(left, 15), i32x4.shr_u(right, 15)), signs16);
  }
}

/** Writes job.keys, padded to a whole block; returns the row's sum: not finite where a weight may be non-finite. */
export function keyPass(job: Job, row: usize): f32 {
  const vectorized = job.columns & ~(COLUMNS_A_ROUND - 1);
  const dtype = job.dtype;
  let sum: f32;
  if (dtype == DTYPE_BF16) sum = keyPassBf16(job, row, vectorized);
  else if (dtype == DTYPE_F16) sum = keyPassF16(job, row, vectorized);
  else sum = keyPassF32(job, row, vectorized);
  return sum + keyTail(job, row, vectorized);
}

function keyTail(job: Job, row: usize, first: i32): f32 {
  const dtype = job.dtype;
  const keys = job.keys;
  let sum: f32 = 0;
  let column = first;
  for (; column < job.columns; ++column) {
    // Widening one half makes an infinite one finite: it is told apart by its bits.
    if (dtype == DTYPE_F16 && (load<u16>(row + ((<usize>column) << 1)) & 0x7c00) == 0x7c00) sum = Infinity;
    const metric = Metric.of(dtype, row, job.normsEven, job.normsOdd, column);
    sum += metric;
    store<i16>(keys + ((<usize>column) << 1), Key.of(metric));
  }
  for (; column & (KEYS_A_BLOCK - 1); ++column) store<i16>(keys + ((<usize>column) << 1), <i16>KEY_PADDING);
  return sum;
}

function keyPassBf16(job: Job, row: usize, columns: i32): f32 {
  const magnitude32 = Lanes.magnitude32();
  const magnitudeOdd = Lanes.magnitudeOddBf16();
  const oddHalf = Lanes.oddHalf();
  const signs16 = Lanes.signs16();
  // Four sums: one would wait for itself in every round.
  let sum0 = f32x4.splat(0);
  let sum1 = sum0;
  let sum2 = sum0;
  let sum3 = sum0;
  const toKeys = job.keys - row;
  const toOdd = job.normsOdd - job.normsEven;
  let norms = job.normsEven;
  for (let at = row, end = row + ((<usize>columns) << 1); at < end; at += 32) {
    const left = v128.load(at);
    const right = v128.load(at, 16);
    const odds = norms + toOdd;
    const even0 = f32x4.mul(Widen.evenBf16(left, magnitude32), v128.load(norms));
    const odd0 = f32x4.mul(Widen.oddBf16(left, magnitudeOdd), v128.load(odds));
    const even1 = f32x4.mul(Widen.evenBf16(right, magnitude32), v128.load(norms, 16));
    const odd1 = f32x4.mul(Widen.oddBf16(right, magnitudeOdd), v128.load(odds, 16));
    sum0 = f32x4.add(sum0, even0);
    sum1 = f32x4.add(sum1, odd0);
    sum2 = f32x4.add(sum2, even1);
    sum3 = f32x4.add(sum3, odd1);
    v128.store(at + toKeys, Key.pack(even0, odd0, oddHalf, signs16));
    v128.store(at + toKeys, Key.pack(even1, odd1, oddHalf, signs16), 16);
    norms += 32;
  }
  return Lanes.sumF32(f32x4.add(f32x4.add(sum0, sum1), f32x4.add(sum2, sum3)));
}

function keyPassF16(job: Job, row: usize, columns: i32): f32 {
  const oddHalf = Lanes.oddHalf();
  const signs16 = Lanes.signs16();
  const magnitude16 = Lanes.magnitude16();
  const normalMin = Lanes.normalMinF16();
  const bias = Lanes.biasF16();
  const place = Lanes.placeF16();
  let sum0 = f32x4.splat(0);
  let sum1 = sum0;
  let greatest = i32x4.splat(0);
  const toKeys = job.keys - row;
  const toOdd = job.normsOdd - job.normsEven;
  let norms = job.normsEven;
  for (let at = row, end = row + ((<usize>columns) << 1); at < end; at += 32) {
    const left = v128.and(v128.load(at), magnitude16);
    const right = v128.and(v128.load(at, 16), magnitude16);
    const odds = norms + toOdd;
    greatest = i16x8.max_s(greatest, i16x8.max_s(left, right));
    let even0 = Widen.placeEvenF16(left);
    let odd0 = Widen.placeOddF16(left, place);
    let even1 = Widen.placeEvenF16(right);
    let odd1 = Widen.placeOddF16(right, place);
    if (v128.any_true(i16x8.lt_s(i16x8.min_s(left, right), normalMin))) {
      even0 = Widen.rebiasF16(even0);
      odd0 = Widen.rebiasF16(odd0);
      even1 = Widen.rebiasF16(even1);
      odd1 = Widen.rebiasF16(odd1);
    } else {
      even0 = i32x4.add(even0, bias);
      odd0 = i32x4.add(odd0, bias);
      even1 = i32x4.add(even1, bias);
      odd1 = i32x4.add(odd1, bias);
    }
    even0 = f32x4.mul(even0, v128.load(norms));
    odd0 = f32x4.mul(odd0, v128.load(odds));
    even1 = f32x4.mul(even1, v128.load(norms, 16));
    odd1 = f32x4.mul(odd1, v128.load(odds, 16));
    sum0 = f32x4.add(sum0, f32x4.add(even0, odd0));
    sum1 = f32x4.add(sum1, f32x4.add(even1, odd1));
    v128.store(at + toKeys, Key.pack(even0, odd0, oddHalf, signs16));
    v128.store(at + toKeys, Key.pack(even1, odd1, oddHalf, signs16), 16);
    norms += 32;
  }
  // A half's infinity rebiased is a finite float: only the bits tell it.
  if (v128.any_true(i16x8.gt_s(greatest, i16x8.splat(0x7bff)))) return Infinity;
  return Lanes.sumF32(f32x4.add(sum0, sum1));
}

function keyPassF32(job: Job, row: usize, columns: i32): f32 {
  const magnitude32 = Lanes.magnitude32();
  const signs16 = Lanes.signs16();
  let sum0 = f32x4.splat(0);
  let sum1 = sum0;
  let sum2 = sum0;
  let sum3 = sum0;
  const toNorms = job.normsEven - row;
  let keys = job.keys;
  for (let at = row, end = row + ((<usize>columns) << 2); at < end; at += 64) {
    const norms = at + toNorms;
    const metrics0 = f32x4.mul(v128.and(v128.load(at), magnitude32), v128.load(norms));
    const metrics1 = f32x4.mul(v128.and(v128.load(at, 16), magnitude32), v128.load(norms, 16));
    const metrics2 = f32x4.mul(v128.and(v128.load(at, 32), magnitude32), v128.load(norms, 32));
    const metrics3 = f32x4.mul(v128.and(v128.load(at, 48), magnitude32), v128.load(norms, 48));
    sum0 = f32x4.add(sum0, metrics0);
    sum1 = f32x4.add(sum1, metrics1);
    sum2 = f32x4.add(sum2, metrics2);
    sum3 = f32x4.add(sum3, metrics3);
    v128.store(keys, Key.narrow(metrics0, metrics1, signs16));
    v128.store(keys, Key.narrow(metrics2, metrics3, signs16), 16);
    keys += 32;
  }
  return Lanes.sumF32(f32x4.add(f32x4.add(sum0, sum1), f32x4.add(sum2, sum3)));
}
