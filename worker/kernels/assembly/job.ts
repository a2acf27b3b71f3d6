/**
 * The block of memory that one thread and its kernel share. The caller writes the first part once per matrix; the
 * kernel writes the rest. worker/kernels/kernel.ts names the same words in the same order.
 *
 * Invariants:
 *  1. `normsEven` and `normsOdd` hold the norms of the even and of the odd columns for 16-bit weights. For F32 weights
 *     `normsEven` holds all norms in the order of the columns and `normsOdd` is unused. With SALIENCY_RELATIVE it holds
 *     the factors of all columns in their order, whatever the type. SALIENCY_MAGNITUDE finds norms of 1 there.
 *  2. The guess carries from row to row. It changes how fast a row is done, never which weights are zeroed.
 */

export const DTYPE_BF16: i32 = 0;
export const DTYPE_F16: i32 = 1;
export const DTYPE_F32: i32 = 2;

/** What a weight is worth, as worker/kernels/saliency.ts explains. */
export const SALIENCY_NORMED: i32 = 0;
export const SALIENCY_MAGNITUDE: i32 = 1;
export const SALIENCY_RELATIVE: i32 = 2;
export const SALIENCY_RANDOM: i32 = 3;

/** Returned in place of a count of zeros: `badRow` and `badColumn` say where the non-finite weight is. */
export const NON_FINITE: i32 = -1;

@unmanaged
export class Job {
  // Written by the caller.
  dtype: i32;
  columns: i32;
  /** How many to zero in each row, or in each group. */
  pruned: i32;
  /** Columns of one group; unused for whole rows. */
  group: i32;
  normsEven: usize;
  normsOdd: usize;
  /** Scratch, i16 [columns rounded up to 32]. */
  keys: usize;
  /** Scratch, i32 [columns + 3]. */
  candidates: usize;
  /** Scratch, u32 [columns + 3]: metrics of the candidates, of a row, or of one group. */
  metrics: usize;
  saliency: i32;
  /** SALIENCY_RANDOM: 32 bits that stand for seed and tensor. */
  seed: u32;
  /** Which row of the matrix is the first of the chunk. */
  firstRow: i32;
  /** pruneBelow: keys up to this one are zeroed. countKeys: the upper half of the keys that are counted, -1 for all. */
  key: i32;
  /** pruneCumulative: share of a row's metric that may go. */
  alpha: f32;
  /** countCumulative: how many alphas stand in `tables`. */
  alphaCount: i32;
  /** f32 [columns], the column sums of SALIENCY_RELATIVE, none of them 0; or f32 [alphaCount], ascending. */
  tables: usize;
  /** u32 [65536] or [alphaCount], cleared by the caller. */
  counters: usize;
  /** Scratch, u32 [columns] each, and u32 [2048] digits: of sorts. */
  sortFirst: usize;
  sortSecond: usize;
  digits: usize;
  /** f64 [columns], cleared by the caller: addColumnSums adds to it. */
  columnTotals: usize;

  // Written by the kernel.
  badRow: i32;
  badColumn: i32;
  /** 1 once a row gave a guess. */
  guessKnown: i32;
  /** Threshold key less the key of the row's mean metric, running mean over the rows. */
  guessOffset: f32;
  /** By how many keys the guess was wrong, running mean. */
  guessError: f32;
  /** What bracketThreshold found. */
  low: i32;
  high: i32;
  belowLow: i32;
  belowHigh: i32;
}
