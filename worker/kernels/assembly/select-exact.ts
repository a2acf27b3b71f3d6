/**
 * Exact selection among full 32-bit metrics: which value divides the `rank` smallest from the rest, and how many of
 * those equal to it still belong to the smallest. At most 31 passes over the values, whatever they are.
 */
import { Lanes } from './widen';

/** Larger than the bits of any metric: an infinite one is 0x7f800000. */
const PADDING: u32 = 0x7fffffff;

/** The result of selectThreshold: all metrics below `threshold` are chosen, and the first `ties` that equal it. */
export class Threshold {
  @inline static pack(threshold: u32, ties: i32): u64 {
    return ((<u64>threshold) << 32) | <u64>ties;
  }
  @inline static value(packed: u64): u32 {
    return <u32>(packed >> 32);
  }
  @inline static ties(packed: u64): i32 {
    return <i32>packed;
  }
}

/**
 * metrics: u32 [count] in memory, with room for three more (written here). 1 <= rank <= count.
 * Bisects between the least and the greatest.
 */
export function selectThreshold(metrics: usize, count: i32, rank: i32): u64 {
  const end = pad(metrics, count);
  return bisect(metrics, end, rank, least(metrics, end), greatest(metrics, count) + 1, 0);
}

/**
 * The same where it is known that the threshold is one of the values from `low` to below `high`, and how many of all are
 * below `low`: fewer than `rank`, as at least `rank` are below `high`.
 */
export function selectThresholdBetween(metrics: usize, count: i32, rank: i32, low: u32, high: u32, belowLow: i32): u64 {
  const end = pad(metrics, count);
  const lows = i32x4.splat(low);
  const highs = i32x4.splat(high);
  const padding = i32x4.splat(PADDING);
  let least = padding;
  let greatest = lows;
  for (let at = metrics; at < end; at += 16) {
    const values = v128.load(at);
    const outside = v128.or(i32x4.lt_s(values, lows), i32x4.ge_s(values, highs));
    least = i32x4.min_s(least, v128.bitselect(padding, values, outside));
    greatest = i32x4.max_s(greatest, v128.andnot(values, outside));
  }
  return bisect(metrics, end, rank, Lanes.minI32(least), Lanes.maxI32(greatest) + 1, belowLow);
}

function pad(metrics: usize, count: i32): usize {
  const end = metrics + ((<usize>((count + 3) & ~3)) << 2);
  for (let at = metrics + ((<usize>count) << 2); at < end; at += 4) store<u32>(at, PADDING);
  return end;
}

/** Kept true: fewer than `rank` are below `low`, at least `rank` below `high`. */
function bisect(metrics: usize, end: usize, rank: i32, low: u32, high: u32, belowLow: i32): u64 {
  while (high - low > 1) {
    const middle = low + ((high - low) >> 1);
    const below = countBelow(metrics, end, middle);
    if (below == rank) return Threshold.pack(middle, 0);
    if (below < rank) {
      low = middle;
      belowLow = below;
    } else {
      high = middle;
    }
  }
  return Threshold.pack(low, rank - belowLow);
}

function countBelow(metrics: usize, end: usize, pivot: u32): i32 {
  const pivots = i32x4.splat(pivot);
  let counts0 = i32x4.splat(0);
  let counts1 = counts0;
  let counts2 = counts0;
  let counts3 = counts0;
  let at = metrics;
  // Four counts: one would wait for itself in every round.
  for (; at + 64 <= end; at += 64) {
    counts0 = i32x4.sub(counts0, i32x4.lt_s(v128.load(at), pivots));
    counts1 = i32x4.sub(counts1, i32x4.lt_s(v128.load(at, 16), pivots));
    counts2 = i32x4.sub(counts2, i32x4.lt_s(v128.load(at, 32), pivots));
    counts3 = i32x4.sub(counts3, i32x4.lt_s(v128.load(at, 48), pivots));
  }
  for (; at < end; at += 16) counts0 = i32x4.sub(counts0, i32x4.lt_s(v128.load(at), pivots));
  return Lanes.sumI32(i32x4.add(i32x4.add(counts0, counts1), i32x4.add(counts2, counts3)));
}

function least(metrics: usize, end: usize): u32 {
  let found = i32x4.splat(PADDING);
  for (let at = metrics; at < end; at += 16) found = i32x4.min_s(found, v128.load(at));
  return Lanes.minI32(found);
}

/** The last lanes may be padding: what is there is looked at one by one. */
function greatest(metrics: usize, count: i32): u32 {
  const vectorized = count & ~3;
  let lanes = i32x4.splat(0);
  for (let at = metrics, stop = metrics + ((<usize>vectorized) << 2); at < stop; at += 16) {
    lanes = i32x4.max_s(lanes, v128.load(at));
  }
  let found: u32 = Lanes.maxI32(lanes);
  for (let i = vectorized; i < count; ++i) found = max(found, load<u32>(metrics + ((<usize>i) << 2)));
  return found;
}
