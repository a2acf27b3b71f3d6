/**
 * One row whose metrics are products with norms: zeroes the `job.pruned` weights of least metric, equal metrics in the
 * order of the columns. Keys first, then a bracket of keys around the threshold, then the full metrics inside it.
 * Source: prune_wanda in locuslab/wanda at 8e8fc87, lib/prune.py (stable sort of a row, its first int(columns * ratio)).
 */
import { bracketThreshold } from './bracket';
import { countZeros, firstNonFinite } from './inspect';
import { DTYPE_F32, Job, NON_FINITE } from './job';
import { KEY_MIN, keyPass } from './key-pass';
import { Metric, Weight } from './metric';
import { fillMetrics } from './saliency';
import { selectThreshold, selectThresholdBetween, Threshold } from './select-exact';
import { zeroChosen } from './zero-chosen';

/** A sum from here on may be an overflow, an infinity or no number at all: the row's bits are looked at. */
const SUM_MAX: f32 = 3.0e38;

/** How fast the guess follows the rows, and its error theirs. */
const OFFSET_RATE: f32 = 0.1;
const ERROR_RATE: f32 = 0.06;
const FIRST_ERROR: f32 = 4.0;

/** Candidates are listed up to this part of a row, 2^-3: beyond, a vector pass over all takes less. */
const MANY_SHIFT: i32 = 3;

/** Zeros of the row afterwards; NON_FINITE and job.badColumn, the row untouched, where a weight is non-finite. */
export function pruneNormedRow(job: Job, row: usize): i32 {
  const columns = job.columns;
  const rank = job.pruned;
  let sum = keyPass(job, row);
  if (!(sum < SUM_MAX)) {
    job.badColumn = firstNonFinite(job.dtype, row, columns);
    if (job.badColumn >= 0) return NON_FINITE;
    sum = SUM_MAX;
  }
  if (rank <= 0) return countZeros(job.dtype, row, columns);
  if (rank >= columns) {
    memory.fill(row, 0, (<usize>columns) << (job.dtype == DTYPE_F32 ? 2 : 1));
    return columns;
  }
  const base = <f32>(reinterpret<u32>(sum / <f32>columns) >>> 15) - 32768.0;
  bracketThreshold(job, base, rank);
  const chosenInside = rank - job.belowLow;
  if (chosenInside == 0) {
    zeroBelow(job, row, job.low, job.low);
    learn(job, base, <f32>job.low);
    return rank;
  }
  const inside = job.belowHigh - job.belowLow;
  let threshold: u32;
  if (inside > columns >> MANY_SHIFT) {
    threshold = pruneMany(job, row);
  } else {
    zeroBelow(job, row, job.low, job.high);
    threshold = pruneCandidates(job, row, inside, chosenInside);
  }
  learn(job, base, <f32>job.low + (<f32>(job.high - job.low) * <f32>chosenInside) / <f32>inside);
  // A weight that was zero has metric zero: it is kept, beyond the `rank` chosen, only if the threshold is zero.
  return threshold == 0 ? countZeros(job.dtype, row, columns) : rank;
}

/** Where most of the row shares the threshold's key, ties mostly: without a list of it. Returns the threshold's bits. */
function pruneMany(job: Job, row: usize): u32 {
  const columns = job.columns;
  const metrics = job.metrics;
  fillMetrics(job, row, 0);
  const packed = selectThresholdBetween(
    metrics,
    columns,
    job.pruned,
    Key.bits(job.low),
    Key.bits(job.high),
    job.belowLow,
  );
  zeroChosen(job.dtype, row, 0, metrics, columns, packed);
  return Threshold.value(packed);
}

class Key {
  /** The least metric with this key, as bits. */
  @inline static bits(key: i32): u32 {
    return (<u32>(key - KEY_MIN)) << 15;
  }
}

function learn(job: Job, base: f32, threshold: f32): void {
  if (!job.guessKnown) {
    job.guessKnown = 1;
    job.guessOffset = threshold - base;
    job.guessError = FIRST_ERROR;
    return;
  }
  const error = threshold - (base + job.guessOffset);
  job.guessOffset += OFFSET_RATE * error;
  job.guessError += ERROR_RATE * (abs<f32>(error) - job.guessError);
}

/** Zeroes the weights with key < low, lists in job.candidates the columns with low <= key < high. */
function zeroBelow(job: Job, row: usize, low: i32, high: i32): void {
  if (job.dtype == DTYPE_F32) zeroBelow32(job, row, low, high);
  else zeroBelow16(job, row, low, high);
}

function zeroBelow16(job: Job, row: usize, low: i32, high: i32): void {
  const lows = i16x8.splat(<i16>low);
  const highs = i16x8.splat(<i16>high);
  const vectorized = job.columns & ~15;
  let out = job.candidates;
  let column = 0;
  let at = row;
  let keys = job.keys;
  for (; column < vectorized; column += 16) {
    const left = v128.load(keys);
    const right = v128.load(keys, 16);
    const belowLeft = i16x8.lt_s(left, lows);
    const belowRight = i16x8.lt_s(right, lows);
    v128.store(at, v128.andnot(v128.load(at), belowLeft));
    v128.store(at, v128.andnot(v128.load(at, 16), belowRight), 16);
    const insideLeft = v128.xor(i16x8.lt_s(left, highs), belowLeft);
    const insideRight = v128.xor(i16x8.lt_s(right, highs), belowRight);
    if (v128.any_true(v128.or(insideLeft, insideRight))) out = Candidates.list(out, column, insideLeft, insideRight);
    at += 32;
    keys += 32;
  }
  zeroTail(job, row, column, low, high, out);
}

function zeroBelow32(job: Job, row: usize, low: i32, high: i32): void {
  const lows = i16x8.splat(<i16>low);
  const highs = i16x8.splat(<i16>high);
  const vectorized = job.columns & ~15;
  let out = job.candidates;
  let column = 0;
  let at = row;
  let keys = job.keys;
  for (; column < vectorized; column += 16) {
    const left = v128.load(keys);
    const right = v128.load(keys, 16);
    const belowLeft = i16x8.lt_s(left, lows);
    const belowRight = i16x8.lt_s(right, lows);
    v128.store(at, v128.andnot(v128.load(at), i32x4.extend_low_i16x8_s(belowLeft)));
    v128.store(at, v128.andnot(v128.load(at, 16), i32x4.extend_high_i16x8_s(belowLeft)), 16);
    v128.store(at, v128.andnot(v128.load(at, 32), i32x4.extend_low_i16x8_s(belowRight)), 32);
    v128.store(at, v128.andnot(v128.load(at, 48), i32x4.extend_high_i16x8_s(belowRight)), 48);
    const insideLeft = v128.xor(i16x8.lt_s(left, highs), belowLeft);
    const insideRight = v128.xor(i16x8.lt_s(right, highs), belowRight);
    if (v128.any_true(v128.or(insideLeft, insideRight))) out = Candidates.list(out, column, insideLeft, insideRight);
    at += 64;
    keys += 32;
  }
  zeroTail(job, row, column, low, high, out);
}

/** The columns from `first` on, for which the lanes do not suffice; `out`: where the next candidate goes. */
function zeroTail(job: Job, row: usize, first: i32, low: i32, high: i32, out: usize): void {
  for (let column = first; column < job.columns; ++column) {
    const key = <i32>load<i16>(job.keys + ((<usize>column) << 1));
    if (key < low) {
      Weight.zero(job.dtype, row, column);
    } else if (key < high) {
      store<u32>(out, column);
      out += 4;
    }
  }
}

class Candidates {
  /** Appends the columns, of the sixteen from `first` on, whose lane is set; at least one is. Returns the new end. */
  @inline static list(out: usize, first: i32, left: v128, right: v128): usize {
    let bits = i8x16.bitmask(i8x16.narrow_i16x8_s(left, right));
    do {
      store<u32>(out, first + ctz(bits));
      out += 4;
      bits &= bits - 1;
    } while (bits);
    return out;
  }
}

/** Zeroes the `rank` candidates of least metric; returns the threshold's bits. */
function pruneCandidates(job: Job, row: usize, count: i32, rank: i32): u32 {
  const dtype = job.dtype;
  const metrics = job.metrics;
  const candidates = job.candidates;
  const normsEven = job.normsEven;
  const normsOdd = job.normsOdd;
  for (let i = 0; i < count; ++i) {
    const at = (<usize>i) << 2;
    store<f32>(metrics + at, Metric.of(dtype, row, normsEven, normsOdd, load<i32>(candidates + at)));
  }
  const packed = selectThreshold(metrics, count, rank);
  const threshold = Threshold.value(packed);
  let ties = Threshold.ties(packed);
  for (let i = 0; i < count; ++i) {
    const at = (<usize>i) << 2;
    const metric = load<u32>(metrics + at);
    if (metric < threshold || (metric == threshold && ties-- > 0)) Weight.zero(dtype, row, load<i32>(candidates + at));
  }
  return threshold;
}
