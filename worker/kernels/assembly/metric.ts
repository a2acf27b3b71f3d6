/** The saliency of one weight, |w| * norm in float32, for the places that look at single columns. */
import { DTYPE_F32 } from './job';
import { Widen } from './widen';

export class Metric {
  /** The metric of a 16-bit weight whose norms are split into even and odd columns. */
  @inline static of16(dtype: i32, row: usize, normsEven: usize, normsOdd: usize, column: i32): f32 {
    const weight = <u32>load<u16>(row + ((<usize>column) << 1));
    const norms = column & 1 ? normsOdd : normsEven;
    return Widen.one(dtype, weight) * load<f32>(norms + ((<usize>(column >> 1)) << 2));
  }

  @inline static of32(row: usize, norms: usize, column: i32): f32 {
    const at = (<usize>column) << 2;
    return abs<f32>(load<f32>(row + at)) * load<f32>(norms + at);
  }

  /** Norms as in Job. */
  @inline static of(dtype: i32, row: usize, normsEven: usize, normsOdd: usize, column: i32): f32 {
    if (dtype == DTYPE_F32) return Metric.of32(row, normsEven, column);
    return Metric.of16(dtype, row, normsEven, normsOdd, column);
  }
}

/** Writes +0 over a weight. */
export class Weight {
  @inline static zero(dtype: i32, row: usize, column: i32): void {
    if (dtype == DTYPE_F32) store<u32>(row + ((<usize>column) << 2), 0);
    else store<u16>(row + ((<usize>column) << 1), 0);
  }

  /** Without a branch on the condition: at 50 % no processor guesses it. */
  @inline static zeroIf(condition: bool, dtype: i32, row: usize, column: i32): void {
    if (dtype == DTYPE_F32) {
      const at = row + ((<usize>column) << 2);
      store<u32>(at, select<u32>(0, load<u32>(at), condition));
    } else {
      const at = row + ((<usize>column) << 1);
      store<u16>(at, select<u16>(0, load<u16>(at), condition));
    }
  }
}
