/** What a row holds: its first non-finite weight, its zeros. Both look at bits only and change nothing. */
import { DTYPE_BF16, DTYPE_F32 } from './job';
import { Lanes } from './widen';

/** Largest finite magnitudes, as bits. */
const BF16_FINITE_MAX: i32 = 0x7f7f;
const F16_FINITE_MAX: i32 = 0x7bff;
const F32_FINITE_MAX: i32 = 0x7f7fffff;

/** A 16-bit counter takes one step in each round of eight columns: it is emptied before it wraps. */
const ROUNDS_MAX: usize = 32767;

/** First column whose weight is infinite or not a number, -1 where all are finite. */
export function firstNonFinite(dtype: i32, row: usize, columns: i32): i32 {
  return dtype == DTYPE_F32 ? firstNonFinite32(row, columns) : firstNonFinite16(dtype, row, columns);
}

function firstNonFinite16(dtype: i32, row: usize, columns: i32): i32 {
  const finiteMax = dtype == DTYPE_BF16 ? BF16_FINITE_MAX : F16_FINITE_MAX;
  const magnitude = Lanes.magnitude16();
  const vectorized = columns & ~15;
  let greatest = i32x4.splat(0);
  for (let at = row, end = row + ((<usize>vectorized) << 1); at < end; at += 32) {
    const left = v128.and(v128.load(at), magnitude);
    const right = v128.and(v128.load(at, 16), magnitude);
    greatest = i16x8.max_s(greatest, i16x8.max_s(left, right));
  }
  let column = vectorized;
  if (v128.any_true(i16x8.gt_s(greatest, i16x8.splat(<i16>finiteMax)))) column = 0;
  for (; column < columns; ++column) {
    if ((<i32>load<u16>(row + ((<usize>column) << 1)) & 0x7fff) > finiteMax) return column;
  }
  return -1;
}

function firstNonFinite32(row: usize, columns: i32): i32 {
  const magnitude = Lanes.magnitude32();
  const vectorized = columns & ~3;
  let greatest = i32x4.splat(0);
  for (let at = row, end = row + ((<usize>vectorized) << 2); at < end; at += 16) {
    greatest = i32x4.max_s(greatest, v128.and(v128.load(at), magnitude));
  }
  let column = vectorized;
  if (v128.any_true(i32x4.gt_s(greatest, i32x4.splat(F32_FINITE_MAX)))) column = 0;
  for (; column < columns; ++column) {
    if (<i32>(load<u32>(row + ((<usize>column) << 2)) & 0x7fffffff) > F32_FINITE_MAX) return column;
  }
  return -1;
}

/** Number of weights that are +0 or -0. */
export function countZeros(dtype: i32, row: usize, columns: i32): i32 {
  return dtype == DTYPE_F32 ? countZeros32(row, columns) : countZeros16(row, columns);
}

function countZeros16(row: usize, columns: i32): i32 {
  const magnitude = Lanes.magnitude16();
  const none = i32x4.splat(0);
  const vectorized = columns & ~7;
  const end = row + ((<usize>vectorized) << 1);
  let zeros = 0;
  let at = row;
  while (at < end) {
    const stop = min(end, at + (ROUNDS_MAX << 4));
    let counts = none;
    for (; at < stop; at += 16) counts = i16x8.sub(counts, i16x8.eq(v128.and(v128.load(at), magnitude), none));
    zeros += Lanes.sumU16(counts);
  }
  for (let column = vectorized; column < columns; ++column) {
    zeros += i32((load<u16>(row + ((<usize>column) << 1)) & 0x7fff) == 0);
  }
  return zeros;
}

function countZeros32(row: usize, columns: i32): i32 {
  const magnitude = Lanes.magnitude32();
  const none = i32x4.splat(0);
  const vectorized = columns & ~3;
  let counts = none;
  for (let at = row, end = row + ((<usize>vectorized) << 2); at < end; at += 16) {
    counts = i32x4.sub(counts, i32x4.eq(v128.and(v128.load(at), magnitude), none));
  }
  let zeros = Lanes.sumI32(counts);
  for (let column = vectorized; column < columns; ++column) {
    zeros += i32((load<u32>(row + ((<usize>column) << 2)) & 0x7fffffff) == 0);
  }
  return zeros;
}
