/**
 * Finds two keys with the threshold between them and few columns between them.
 *
 * The first two pivots are guessed from the row's mean metric and from how far earlier rows' thresholds were from
 * theirs; then pivots are interpolated between the counts. About 2.2 passes a row on real weights. A row that is unlike
 * that (ties, two scales) goes over to thirds after PASSES_GUESSED passes: about 34 passes in all at the very worst.
 */
import { Job } from './job';
import { KEY_MIN, KEY_PADDING } from './key-pass';
import { Lanes } from './widen';

const PASSES_GUESSED: i32 = 6;
/** Half the width of the first bracket of a matrix, in keys: 128 keys are a factor of 1.41 in the metric. */
const FIRST_HALF_WIDTH: i32 = 64;
/** Blocks of 32 keys that a 16-bit counter takes: it grows by 2 in each, two are added, 65535 is its end. */
const BLOCKS_MAX: i32 = 8000;

/**
 * keys: job.keys. rank: how many are to be zeroed, 0 < rank < columns. base: the key of the row's mean metric.
 * Leaves in the job, with below(x) the number of keys less than x:
 * low < high, belowLow = below(low) <= rank < belowHigh = below(high).
 */
export function bracketThreshold(job: Job, base: f32, rank: i32): void {
  const columns = job.columns;
  const fewEnough = max(columns >> 7, 16);
  let low = KEY_MIN;
  let high = KEY_PADDING;
  let belowLow = 0;
  let belowHigh = columns;
  let left = <i32>base - FIRST_HALF_WIDTH;
  let right = <i32>base + FIRST_HALF_WIDTH;
  if (job.guessKnown) {
    const guess = base + job.guessOffset;
    const halfWidth: f32 = job.guessError * 2.0 + 1.0;
    left = <i32>(guess - halfWidth);
    right = <i32>(guess + halfWidth) + 1;
  }
  for (let pass = 1; ; ++pass) {
    left = min(max(left, low + 1), high - 1);
    right = min(max(right, left), high - 1);
    if (left == right) {
      if (right < high - 1) ++right;
      else if (left > low + 1) --left;
    }
    const counts = countBelow(job.keys, columns, left, right);
    const belowLeft = <i32>counts;
    const belowRight = <i32>(counts >> 32);
    if (belowRight <= rank) {
      low = right;
      belowLow = belowRight;
    } else if (belowLeft <= rank) {
      low = left;
      belowLow = belowLeft;
      high = right;
      belowHigh = belowRight;
    } else {
      high = left;
      belowHigh = belowLeft;
    }
    const width = high - low;
    if (belowLow == rank || belowHigh - belowLow <= fewEnough || width <= 1) break;
    if (pass >= PASSES_GUESSED) {
      left = low + width / 3;
      right = low + (width * 2) / 3;
    } else if (low > KEY_MIN && high < KEY_PADDING) {
      const inside = <f32>(belowHigh - belowLow);
      const expected = <f32>low + (<f32>width * <f32>(rank - belowLow)) / inside;
      const halfWidth = min<f32>((<f32>width * 0.9) / sqrt<f32>(inside) + 0.5, <f32>width * 0.33);
      left = <i32>floor<f32>(expected - halfWidth);
      right = <i32>floor<f32>(expected + halfWidth) + 1;
    } else {
      // Only one side is known: step outward from it, further each time.
      const step = <i32>((job.guessKnown ? job.guessError : <f32>FIRST_HALF_WIDTH) * <f32>(2 << pass)) + 2;
      left = low > KEY_MIN ? low + (step >> 2) + 1 : high - step;
      right = low > KEY_MIN ? low + step : high - (step >> 2) - 1;
    }
  }
  job.low = low;
  job.high = high;
  job.belowLow = belowLow;
  job.belowHigh = belowHigh;
}

/** Numbers of keys less than `left` (low word) and less than `right` (high word). */
function countBelow(keys: usize, columns: i32, left: i32, right: i32): u64 {
  const lefts = i16x8.splat(<i16>left);
  const rights = i16x8.splat(<i16>right);
  const none = i32x4.splat(0);
  let belowLeft = 0;
  let belowRight = 0;
  let at = keys;
  let blocks = (columns + 31) >> 5;
  while (blocks > 0) {
    const count = min(blocks, BLOCKS_MAX);
    blocks -= count;
    let left0 = none;
    let left1 = none;
    let right0 = none;
    let right1 = none;
    for (const end = at + ((<usize>count) << 6); at < end; at += 64) {
      const a = v128.load(at);
      const b = v128.load(at, 16);
      const c = v128.load(at, 32);
      const d = v128.load(at, 48);
      left0 = i16x8.add(left0, i16x8.add(i16x8.lt_s(a, lefts), i16x8.lt_s(b, lefts)));
      right0 = i16x8.add(right0, i16x8.add(i16x8.lt_s(a, rights), i16x8.lt_s(b, rights)));
      left1 = i16x8.add(left1, i16x8.add(i16x8.lt_s(c, lefts), i16x8.lt_s(d, lefts)));
      right1 = i16x8.add(right1, i16x8.add(i16x8.lt_s(c, rights), i16x8.lt_s(d, rights)));
    }
    // A comparison that holds is -1.
    belowLeft += Lanes.sumU16(i16x8.sub(none, i16x8.add(left0, left1)));
    belowRight += Lanes.sumU16(i16x8.sub(none, i16x8.add(right0, right1)));
  }
  return ((<u64>belowRight) << 32) | <u64>belowLeft;
}
