/**
 * |w| as float32 from 16-bit weights, eight at a time.
 *
 * A 128-bit load holds eight columns. The even ones are the low halves of the four 32-bit lanes, the odd ones the high
 * halves: masks and shifts widen each set of four in place, no shuffle is needed. That is why the norms are stored
 * split into even and odd columns.
 *
 * Vector constants of the hot loops are loaded from memory. As literals, binaryen folds them back into the loop and
 * V8 builds them again in every iteration (15 to 20 % slower at 4:8).
 */
import { DTYPE_BF16 } from './job';

/** Each constant takes 16 bytes: four lanes alike. */
const CONSTANTS: usize = memory.data<u32>(
  [
    0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fffffff, 0x7fff0000, 0x7fff0000, 0x7fff0000, 0x7fff0000, 0xffff0000,
    0xffff0000, 0xffff0000, 0xffff0000, 0x80008000, 0x80008000, 0x80008000, 0x80008000, 0x7fff7fff, 0x7fff7fff,
    0x7fff7fff, 0x7fff7fff, 0x04000400, 0x04000400, 0x04000400, 0x04000400, 0x38000000, 0x38000000, 0x38000000,
    0x38000000, 0x0fffe000, 0x0fffe000, 0x0fffe000, 0x0fffe000,
  ],
  16,
);

/** 2^112: a half's exponent has bias 15, a float's 127. */
const HALF_SCALE: f32 = 5192296858534827628530496329220096.0;
const HALF_BIAS: i32 = 112 << 23;
/** The smallest normal half, 2^-14. */
const HALF_NORMAL_MIN: f32 = 0.00006103515625;

export class Lanes {
  /** Clears the sign of a float32 lane. */
  @inline static magnitude32(): v128 {
    return v128.load(CONSTANTS);
  }
  /** |w| of the odd bfloat16, already where a float32 has it. */
  @inline static magnitudeOddBf16(): v128 {
    return v128.load(CONSTANTS, 16);
  }
  @inline static oddHalf(): v128 {
    return v128.load(CONSTANTS, 32);
  }
  @inline static signs16(): v128 {
    return v128.load(CONSTANTS, 48);
  }
  @inline static magnitude16(): v128 {
    return v128.load(CONSTANTS, 64);
  }
  /** The smallest normal half: what is below is subnormal or zero. */
  @inline static normalMinF16(): v128 {
    return v128.load(CONSTANTS, 80);
  }
  @inline static biasF16(): v128 {
    return v128.load(CONSTANTS, 96);
  }
  /** Exponent and mantissa of a half, at their place in a float32. */
  @inline static placeF16(): v128 {
    return v128.load(CONSTANTS, 112);
  }

  @inline static sumF32(a: v128): f32 {
    return f32x4.extract_lane(a, 0) + f32x4.extract_lane(a, 1) + (f32x4.extract_lane(a, 2) + f32x4.extract_lane(a, 3));
  }
  @inline static sumI32(a: v128): i32 {
    return i32x4.extract_lane(a, 0) + i32x4.extract_lane(a, 1) + i32x4.extract_lane(a, 2) + i32x4.extract_lane(a, 3);
  }
  @inline static minI32(a: v128): i32 {
    return min(
      min(i32x4.extract_lane(a, 0), i32x4.extract_lane(a, 1)),
      min(i32x4.extract_lane(a, 2), i32x4.extract_lane(a, 3)),
    );
  }
  @inline static maxI32(a: v128): i32 {
    return max(
      max(i32x4.extract_lane(a, 0), i32x4.extract_lane(a, 1)),
      max(i32x4.extract_lane(a, 2), i32x4.extract_lane(a, 3)),
    );
  }
  /** Sum of eight unsigned 16-bit lanes. */
  @inline static sumU16(a: v128): i32 {
    return Lanes.sumI32(i32x4.add(v128.and(a, i32x4.splat(0xffff)), i32x4.shr_u(a, 16)));
  }
}

export class Widen {
  @inline static evenBf16(weights: v128, magnitude32: v128): v128 {
    return v128.and(i32x4.shl(weights, 16), magnitude32);
  }
  @inline static oddBf16(weights: v128, magnitudeOddBf16: v128): v128 {
    return v128.and(weights, magnitudeOddBf16);
  }

  /** The bits of a half without its sign, at their place in a float32, exponent not yet moved to a float's bias. */
  @inline static placeEvenF16(magnitudes: v128): v128 {
    return i32x4.shr_u(i32x4.shl(magnitudes, 16), 3);
  }
  @inline static placeOddF16(magnitudes: v128, placeF16: v128): v128 {
    return v128.and(i32x4.shr_u(magnitudes, 3), placeF16);
  }
  /**
   * Placed halves as float32, subnormals too. A product with 2^112 would do the same in one step, but it is slow where
   * the operand is subnormal. A subnormal half is written as the mantissa of 2^-14, then 2^-14 is taken off: exact.
   */
  @inline static rebiasF16(placed: v128): v128 {
    const normal = i32x4.add(placed, i32x4.splat(HALF_BIAS));
    const subnormal = f32x4.sub(i32x4.add(placed, i32x4.splat(113 << 23)), f32x4.splat(HALF_NORMAL_MIN));
    return v128.bitselect(subnormal, normal, i32x4.lt_s(placed, i32x4.splat(0x400 << 13)));
  }

  /** |w| of one 16-bit weight. A non-finite half comes out finite here: callers check before. */
  @inline static one(dtype: i32, weight: u32): f32 {
    if (dtype == DTYPE_BF16) return reinterpret<f32>((weight & 0x7fff) << 16);
    return reinterpret<f32>((weight & 0x7fff) << 13) * HALF_SCALE;
  }
}
