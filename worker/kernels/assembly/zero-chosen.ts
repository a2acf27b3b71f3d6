/** Zeroes what selectThreshold chose, given every metric. */
import { DTYPE_F32 } from './job';
import { Weight } from './metric';
import { Threshold } from './select-exact';

/**
 * Of the columns [first, first + count), whose metrics are u32 [count]: those below the threshold, and of those that equal
 * it the first Threshold.ties.
 */
export function zeroChosen(dtype: i32, row: usize, first: i32, metrics: usize, count: i32, packed: u64): void {
  const threshold = Threshold.value(packed);
  const thresholds = i32x4.splat(threshold);
  let ties = Threshold.ties(packed);
  const vectorized = count & ~7;
  let i = 0;
  for (; i < vectorized; i += 8) {
    const left = v128.load(metrics + ((<usize>i) << 2));
    const right = v128.load(metrics + ((<usize>i) << 2), 16);
    let chosenLeft = i32x4.lt_s(left, thresholds);
    let chosenRight = i32x4.lt_s(right, thresholds);
    if (ties > 0) {
      const tiedLeft = i32x4.eq(left, thresholds);
      const tiedRight = i32x4.eq(right, thresholds);
      const tied = popcnt(i32x4.bitmask(tiedLeft) | (i32x4.bitmask(tiedRight) << 4));
      if (tied > ties) {
        zeroOneByOne(dtype, row, first, metrics, i, i + 8, threshold, ties);
        ties = 0;
        continue;
      }
      ties -= tied;
      chosenLeft = v128.or(chosenLeft, tiedLeft);
      chosenRight = v128.or(chosenRight, tiedRight);
    }
    if (dtype == DTYPE_F32) {
      const at = row + ((<usize>(first + i)) << 2);
      v128.store(at, v128.andnot(v128.load(at), chosenLeft));
      v128.store(at, v128.andnot(v128.load(at, 16), chosenRight), 16);
    } else {
      const at = row + ((<usize>(first + i)) << 1);
      v128.store(at, v128.andnot(v128.load(at), i16x8.narrow_i32x4_s(chosenLeft, chosenRight)));
    }
  }
  zeroOneByOne(dtype, row, first, metrics, i, count, threshold, ties);
}

/** The same for metrics [from, to). */
function zeroOneByOne(
  dtype: i32,
  row: usize,
  first: i32,
  metrics: usize,
  from: i32,
  to: i32,
  threshold: u32,
  ties: i32,
): void {
  for (let i = from; i < to; ++i) {
    const metric = load<u32>(metrics + ((<usize>i) << 2));
    Weight.zeroIf(metric < threshold || (metric == threshold && ties-- > 0), dtype, row, first + i);
  }
}
