/**
 * N:M for groups of 4 or 8 whose metrics are products with norms (and for any four metrics that are there): every
 * weight's rank in its group by pairwise comparison, no branches.
 *
 * A weight is zeroed when fewer than `pruned` of its group come before it. One comes before another when its metric is
 * less, or equal and its column lower. "Equal or greater" is "greater" after adding 1 to the bits: metrics are finite or
 * +infinity and not negative, so their bits order as integers and never overflow.
 *
 * Lanes: eight columns of 16-bit weights load as e = (c0 c2 c4 c6) and o = (c1 c3 c5 c7), those of F32 are shuffled so.
 * Comparisons that hold are -1.
 */
import { DTYPE_BF16, DTYPE_F16, DTYPE_F32 } from './job';
import { Lanes, Widen } from './widen';

/** 1 in the lanes whose partner, so many lanes further on and around, has the lower column. */
const LOWER_PARTNER: usize = memory.data<i32>([0, 0, 0, 1, 0, 0, 1, 1, 0, 1, 1, 1, 0, 1, 0, 1], 16);

class Partner {
  @inline static lowerAfter1(): v128 {
    return v128.load(LOWER_PARTNER);
  }
  @inline static lowerAfter2(): v128 {
    return v128.load(LOWER_PARTNER, 16);
  }
  @inline static lowerAfter3(): v128 {
    return v128.load(LOWER_PARTNER, 32);
  }
  /** For pairs of lanes, as groups of four have them. */
  @inline static lowerInPair(): v128 {
    return v128.load(LOWER_PARTNER, 48);
  }
  @inline static after1(a: v128): v128 {
    return v128.shuffle<i32>(a, a, 1, 2, 3, 0);
  }
  @inline static after2(a: v128): v128 {
    return v128.shuffle<i32>(a, a, 2, 3, 0, 1);
  }
  @inline static after3(a: v128): v128 {
    return v128.shuffle<i32>(a, a, 3, 0, 1, 2);
  }
  @inline static inPair(a: v128): v128 {
    return v128.shuffle<i32>(a, a, 1, 0, 3, 2);
  }
}

class Metrics {
  @inline static even(dtype: i32, weights: v128, norms: v128, magnitude32: v128, bias: v128, subnormal: bool): v128 {
    if (dtype != DTYPE_F16) return f32x4.mul(Widen.evenBf16(weights, magnitude32), norms);
    const placed = Widen.placeEvenF16(weights);
    return f32x4.mul(subnormal ? Widen.rebiasF16(placed) : i32x4.add(placed, bias), norms);
  }
  @inline static odd(dtype: i32, weights: v128, norms: v128, mask: v128, bias: v128, subnormal: bool): v128 {
    if (dtype != DTYPE_F16) return f32x4.mul(Widen.oddBf16(weights, mask), norms);
    const placed = Widen.placeOddF16(weights, mask);
    return f32x4.mul(subnormal ? Widen.rebiasF16(placed) : i32x4.add(placed, bias), norms);
  }
}

class Row {
  /** Inlined with constant dtype and group: six loops come of it, each without a branch on them. */
  @inline static prune(
    dtype: i32,
    group: i32,
    row: usize,
    normsEven: usize,
    normsOdd: usize,
    columns: i32,
    pruned: i32,
  ): void {
    const magnitude32 = Lanes.magnitude32();
    const oddMask = dtype == DTYPE_F16 ? Lanes.placeF16() : Lanes.magnitudeOddBf16();
    const magnitude16 = Lanes.magnitude16();
    const normalMin = Lanes.normalMinF16();
    const bias = Lanes.biasF16();
    const oddHalf = Lanes.oddHalf();
    const none = i32x4.splat(0);
    const quota = i32x4.splat(pruned);
    const toOdd = normsOdd - normsEven;
    const step: usize = dtype == DTYPE_F32 ? 32 : 16;
    let norms = normsEven;
    for (let at = row, end = row + ((<usize>columns) << (dtype == DTYPE_F32 ? 2 : 1)); at < end; at += step) {
      const stored = v128.load(at);
      let e: v128;
      let o: v128;
      if (dtype == DTYPE_F32) {
        const left = f32x4.mul(v128.and(stored, magnitude32), v128.load(norms));
        const right = f32x4.mul(v128.and(v128.load(at, 16), magnitude32), v128.load(norms, 16));
        e = v128.shuffle<i32>(left, right, 0, 2, 4, 6);
        o = v128.shuffle<i32>(left, right, 1, 3, 5, 7);
      } else {
        let weights = stored;
        let subnormal = false;
        if (dtype == DTYPE_F16) {
          weights = v128.and(stored, magnitude16);
          subnormal = v128.any_true(i16x8.lt_s(weights, normalMin));
        }
        e = Metrics.even(dtype, weights, v128.load(norms), magnitude32, bias, subnormal);
        o = Metrics.odd(dtype, weights, v128.load(norms + toOdd), oddMask, bias, subnormal);
      }
      let rankEven: v128;
      let rankOdd: v128;
      // c: where it holds, the odd column comes before the even one.
      let c = i32x4.gt_s(e, o);
      if (group == 4) {
        const lower = Partner.lowerInPair();
        const eTied = i32x4.add(e, lower);
        const across = i32x4.gt_s(eTied, Partner.inPair(o));
        rankEven = i32x4.sub(none, i32x4.add(i32x4.add(c, across), i32x4.gt_s(eTied, Partner.inPair(e))));
        // Two even columns come before an odd one, less those that it came before itself.
        rankOdd = i32x4.add(i32x4.splat(2), i32x4.add(c, Partner.inPair(across)));
        rankOdd = i32x4.sub(rankOdd, i32x4.gt_s(i32x4.add(o, lower), Partner.inPair(o)));
      } else {
        rankEven = i32x4.sub(none, c);
        rankOdd = i32x4.add(i32x4.splat(4), c);

        let lower = Partner.lowerAfter1();
        let eTied = i32x4.add(e, lower);
        let oNext = Partner.after1(o);
        c = i32x4.gt_s(eTied, oNext);
        rankEven = i32x4.sub(i32x4.sub(rankEven, i32x4.gt_s(eTied, Partner.after1(e))), c);
        rankOdd = i32x4.sub(rankOdd, i32x4.gt_s(i32x4.add(o, lower), oNext));
        rankOdd = i32x4.add(rankOdd, Partner.after3(c));

        lower = Partner.lowerAfter2();
        eTied = i32x4.add(e, lower);
        oNext = Partner.after2(o);
        c = i32x4.gt_s(eTied, oNext);
        rankEven = i32x4.sub(i32x4.sub(rankEven, i32x4.gt_s(eTied, Partner.after2(e))), c);
        rankOdd = i32x4.sub(rankOdd, i32x4.gt_s(i32x4.add(o, lower), oNext));
        rankOdd = i32x4.add(rankOdd, Partner.after2(c));

        lower = Partner.lowerAfter3();
        eTied = i32x4.add(e, lower);
        oNext = Partner.after3(o);
        c = i32x4.gt_s(eTied, oNext);
        rankEven = i32x4.sub(i32x4.sub(rankEven, i32x4.gt_s(eTied, Partner.after3(e))), c);
        rankOdd = i32x4.sub(rankOdd, i32x4.gt_s(i32x4.add(o, lower), oNext));
        rankOdd = i32x4.add(rankOdd, Partner.after1(c));
      }
      const chosenEven = i32x4.gt_s(quota, rankEven);
      const chosenOdd = i32x4.gt_s(quota, rankOdd);
      if (dtype == DTYPE_F32) {
        v128.store(at, v128.andnot(stored, v128.shuffle<i32>(chosenEven, chosenOdd, 0, 4, 1, 5)));
        v128.store(at, v128.andnot(v128.load(at, 16), v128.shuffle<i32>(chosenEven, chosenOdd, 2, 6, 3, 7)), 16);
      } else {
        v128.store(at, v128.andnot(stored, v128.bitselect(chosenOdd, chosenEven, oddHalf)));
      }
      norms += step;
    }
  }
}

/** columns: a multiple of 8. group: 4 or 8. All weights are finite. */
export function pruneNormedGroups(
  dtype: i32,
  group: i32,
  row: usize,
  normsEven: usize,
  normsOdd: usize,
  columns: i32,
  pruned: i32,
): void {
  if (dtype == DTYPE_F32) {
    if (group == 4) pruneF32By4(row, normsEven, columns, pruned);
    else pruneF32By8(row, normsEven, columns, pruned);
  } else if (dtype == DTYPE_F16) {
    if (group == 4) pruneF16By4(row, normsEven, normsOdd, columns, pruned);
    else pruneF16By8(row, normsEven, normsOdd, columns, pruned);
  } else if (group == 4) pruneBf16By4(row, normsEven, normsOdd, columns, pruned);
  else pruneBf16By8(row, normsEven, normsOdd, columns, pruned);
}

function pruneF16By4(row: usize, normsEven: usize, normsOdd: usize, columns: i32, pruned: i32): void {
  Row.prune(DTYPE_F16, 4, row, normsEven, normsOdd, columns, pruned);
}
function pruneF16By8(row: usize, normsEven: usize, normsOdd: usize, columns: i32, pruned: i32): void {
  Row.prune(DTYPE_F16, 8, row, normsEven, normsOdd, columns, pruned);
}
function pruneF32By4(row: usize, norms: usize, columns: i32, pruned: i32): void {
  Row.prune(DTYPE_F32, 4, row, norms, norms, columns, pruned);
}
function pruneF32By8(row: usize, norms: usize, columns: i32, pruned: i32): void {
  Row.prune(DTYPE_F32, 8, row, norms, norms, columns, pruned);
}
function pruneBf16By4(row: usize, normsEven: usize, normsOdd: usize, columns: i32, pruned: i32): void {
  Row.prune(DTYPE_BF16, 4, row, normsEven, normsOdd, columns, pruned);
}
function pruneBf16By8(row: usize, normsEven: usize, normsOdd: usize, columns: i32, pruned: i32): void {
  Row.prune(DTYPE_BF16, 8, row, normsEven, normsOdd, columns, pruned);
}

/** Zeroes `pruned` of the four columns from `first` on, any dtype, by u32 [4] metrics that are there already. */
export function pruneFour(dtype: i32, row: usize, first: i32, metrics: usize, pruned: i32): void {
  const m = v128.load(metrics);
  let rank = i32x4.gt_s(i32x4.add(m, Partner.lowerAfter1()), Partner.after1(m));
  rank = i32x4.add(rank, i32x4.gt_s(i32x4.add(m, Partner.lowerAfter2()), Partner.after2(m)));
  rank = i32x4.add(rank, i32x4.gt_s(i32x4.add(m, Partner.lowerAfter3()), Partner.after3(m)));
  const chosen = i32x4.gt_s(i32x4.add(i32x4.splat(pruned), rank), i32x4.splat(0));
  if (dtype == DTYPE_F32) {
    const at = row + ((<usize>first) << 2);
    v128.store(at, v128.andnot(v128.load(at), chosen));
  } else {
    const at = row + ((<usize>first) << 1);
    const narrow = i16x8.narrow_i32x4_s(chosen, chosen);
    v128.store_lane<u64>(at, v128.andnot(v128.load_zero<u64>(at), narrow), 0);
  }
}
