/**
 * SparseGPT within one block of columns of some rows of a linear: scores, the threshold of the block, and the column by
 * column update. WebAssembly SIMD128, no heap. Everything is stored by column: weights[i] are the weights of all rows in
 * column i of the block, `stride` of them: the rows, then zeros up to a multiple of STRIP_ROWS.
 *
 * score = w * w / (d * d) in float32, d = U[i, i]. Every operation is rounded on its own and in the order of the columns,
 * as the reference does: neither the strips nor the panels can be seen in the result.
 */

/** Rows that are taken through the whole block at once: weights, errors and masks of a strip stay in the L1 cache. */
const STRIP_ROWS: i32 = 32;
const STRIP_BYTES: usize = 128;
const LANE_BYTES: usize = 16;

/** Columns of a panel where no pattern says otherwise. */
const PANEL_COLUMNS: i32 = 4;

/** Bits of a score as an integer order as the scores do. 31 bits, from the top: 11, 11 and 9. */
const HISTOGRAM_BINS: i32 = 2048;

/** The caller writes it; worker/kernels/sparsegpt-kernel.ts names the same words in the same order. */
@unmanaged
class Block {
  /** Columns of the block. */
  columns: i32;
  rows: i32;
  /** Rows rounded up to STRIP_ROWS. */
  stride: i32;
  /** Columns of one group, or 0: then all scores up to `threshold` are pruned. */
  group: i32;
  /** How many to prune in each group. */
  prunedPerGroup: i32;
  threshold: f32;
  /** Of the score that is looked for, among those that are left. */
  rank: u32;
  /** f32 [columns, stride] each. */
  weights: usize;
  errors: usize;
  /** f32 [columns, columns], the block of U. */
  factor: usize;
  /** u32 [HISTOGRAM_BINS]: how many of the scores that are left have which digit. */
  histogram: usize;
  /** f32 [columns, STRIP_ROWS] each. */
  stripWeights: usize;
  stripErrors: usize;
  stripMasks: usize;
  /** f32 [STRIP_ROWS, stagedStride]: rows as they are stored outside. */
  staged: usize;
  stagedStride: i32;

  // Written by the kernel: what is left in `errors` of all scores.
  candidates: i32;
}

function diagonal(block: Block, column: i32): f32 {
  return load<f32>(block.factor + ((<usize>(column * block.columns + column)) << 2));
}

/**
 * The score of some rank among those of all rows and columns, of which other threads have other rows, digit by digit:
 * beginSelection, then for each digit from the highest countDigits, and, when `histogram` holds the sum of what all threads
 * have counted, takeDigit. Overwrites `errors` and, the same on all threads, block.rank.
 */
export function beginSelection(block: Block): void {
  block.candidates = writeScores(block);
}

/** How many of the scores that are left have which bits [shift, shift + width). */
export function countDigits(block: Block, shift: u32, width: u32): void {
  const mask: u32 = (1 << width) - 1;
  const histogram = block.histogram;
  const end = block.errors + ((<usize>block.candidates) << 2);
  memory.fill(histogram, 0, (<usize>HISTOGRAM_BINS) << 2);
  for (let at = block.errors; at < end; at += 4) {
    const bin = histogram + ((<usize>((load<u32>(at) >>> shift) & mask)) << 2);
    store<u32>(bin, load<u32>(bin) + 1);
  }
}

/** Those bits of the score of block.rank; scores with others are dropped. */
export function takeDigit(block: Block, shift: u32, width: u32): u32 {
  const mask: u32 = (1 << width) - 1;
  const histogram = block.histogram;
  const end = block.errors + ((<usize>block.candidates) << 2);
  let bits: u32 = 0;
  for (let found = load<u32>(histogram); block.rank >= found; found = load<u32>(histogram + ((<usize>bits) << 2))) {
    block.rank -= found;
    ++bits;
  }
  let to = block.errors;
  for (let at = block.errors; at < end; at += 4) {
    const candidate = load<u32>(at);
    store<u32>(to, candidate);
    to += (<usize>(<u32>(((candidate >>> shift) & mask) == bits))) << 2;
  }
  block.candidates = <i32>((to - block.errors) >> 2);
  return bits;
}

/** Scores of all rows, column after column without gaps, to `errors`; their number. */
function writeScores(block: Block): i32 {
  const rowBytes = (<usize>block.rows) << 2;
  const vectorBytes = rowBytes & ~15;
  let to = block.errors;
  for (let column = 0; column < block.columns; ++column) {
    const from = block.weights + ((<usize>(column * block.stride)) << 2);
    const d = diagonal(block, column);
    const squared = f32x4.splat(d * d);
    for (let at: usize = 0; at < vectorBytes; at += LANE_BYTES) {
      const w = v128.load(from + at);
      v128.store(to + at, f32x4.div(f32x4.mul(w, w), squared));
    }
    for (let at = vectorBytes; at < rowBytes; at += 4) {
      const w = load<f32>(from + at);
      store<f32>(to + at, (w * w) / (d * d));
    }
    to += rowBytes;
  }
  return block.columns * block.rows;
}

/**
 * Prunes the block and updates it: weights become those that stay, with 0 for those that do not; errors become
 * (w - q) / d. block.columns is a multiple of block.group.
 */
export function pruneBlock(block: Block): void {
  for (let first = 0; first < block.stride; first += STRIP_ROWS) pruneStrip(block, (<usize>first) << 2);
}

function pruneStrip(block: Block, offset: usize): void {
  const columnBytes = (<usize>block.stride) << 2;
  const columns = block.columns;
  for (let column = 0; column < columns; ++column) {
    const from = block.weights + <usize>column * columnBytes + offset;
    const strip = <usize>column * STRIP_BYTES;
    copyStrip(block.stripWeights + strip, from);
    if (!block.group) maskByThreshold(block, column);
  }
  const panel = block.group ? block.group : PANEL_COLUMNS;
  for (let begin = 0; begin < columns; begin += panel) {
    const end = min(columns, begin + panel);
    subtractEarlier(block, begin, end);
    if (block.group) maskGroup(block, begin);
    for (let column = begin; column < end; ++column) pruneColumn(block, column, end);
  }
  for (let column = 0; column < columns; ++column) {
    const at = <usize>column * columnBytes + offset;
    const strip = <usize>column * STRIP_BYTES;
    copyStrip(block.weights + at, block.stripWeights + strip);
    copyStrip(block.errors + at, block.stripErrors + strip);
  }
}

/** One column of a strip. memory.copy is a call out of the compiled code, which takes longer than so few bytes. */
function copyStrip(to: usize, from: usize): void {
  for (let lane: usize = 0; lane < STRIP_BYTES; lane += LANE_BYTES) v128.store(to + lane, v128.load(from + lane));
}

function scoreOf(w: v128, d: f32): v128 {
  return f32x4.div(f32x4.mul(w, w), f32x4.splat(d * d));
}

/** By the weights as they are before the block changes any. */
function maskByThreshold(block: Block, column: i32): void {
  const strip = <usize>column * STRIP_BYTES;
  const d = diagonal(block, column);
  const threshold = f32x4.splat(block.threshold);
  for (let lane: usize = 0; lane < STRIP_BYTES; lane += LANE_BYTES) {
    const score = scoreOf(v128.load(block.stripWeights + strip + lane), d);
    v128.store(block.stripMasks + strip + lane, f32x4.le(score, threshold));
  }
}

/**
 * Of the group that begins here, the prunedPerGroup least scores; of equal ones the lower column first. Its columns'
 * scores stand where their errors will: nothing is there yet.
 */
function maskGroup(block: Block, begin: i32): void {
  const base = <usize>begin * STRIP_BYTES;
  const bytes = <usize>block.group * STRIP_BYTES;
  const scores = block.stripErrors + base;
  for (let column: usize = 0; column < bytes; column += STRIP_BYTES) {
    const d = diagonal(block, begin + <i32>(column / STRIP_BYTES));
    for (let lane: usize = 0; lane < STRIP_BYTES; lane += LANE_BYTES) {
      v128.store(scores + column + lane, scoreOf(v128.load(block.stripWeights + base + column + lane), d));
    }
  }
  const pruned = i32x4.splat(block.prunedPerGroup);
  for (let column: usize = 0; column < bytes; column += STRIP_BYTES) {
    for (let lane: usize = 0; lane < STRIP_BYTES; lane += LANE_BYTES) {
      const score = v128.load(scores + column + lane);
      let rank = i32x4.splat(0);
      // A comparison that holds is -1.
      for (let other: usize = 0; other < column; other += STRIP_BYTES) {
        rank = i32x4.sub(rank, f32x4.le(v128.load(scores + other + lane), score));
      }
      for (let other = column + STRIP_BYTES; other < bytes; other += STRIP_BYTES) {
        rank = i32x4.sub(rank, f32x4.lt(v128.load(scores + other + lane), score));
      }
      v128.store(block.stripMasks + base + column + lane, i32x4.lt_s(rank, pruned));
    }
  }
}

/** Columns [begin, end): w -= U[i, column] * error[i] for every column i before `begin`, in order. */
function subtractEarlier(block: Block, begin: i32, end: i32): void {
  let column = begin;
  for (; column + 4 <= end; column += 4) subtractFromFour(block, begin, column);
  for (; column < end; ++column) {
    for (let earlier = 0; earlier < begin; ++earlier) subtractOne(block, earlier, column);
  }
}

/** Four columns, eight rows at a time: eight sums in registers. */
function subtractFromFour(block: Block, begin: i32, column: i32): void {
  const factorStride = (<usize>block.columns) << 2;
  const factorFirst = block.factor + ((<usize>column) << 2);
  for (let lane: usize = 0; lane < STRIP_BYTES; lane += 2 * LANE_BYTES) {
    const at = block.stripWeights + <usize>column * STRIP_BYTES + lane;
    let a0 = v128.load(at);
    let a1 = v128.load(at, 16);
    let b0 = v128.load(at, 128);
    let b1 = v128.load(at, 144);
    let c0 = v128.load(at, 256);
    let c1 = v128.load(at, 272);
    let d0 = v128.load(at, 384);
    let d1 = v128.load(at, 400);
    let factor = factorFirst;
    let error = block.stripErrors + lane;
    for (let earlier = 0; earlier < begin; ++earlier) {
      const e0 = v128.load(error);
      const e1 = v128.load(error, 16);
      const a = v128.load32_splat(factor);
      a0 = f32x4.sub(a0, f32x4.mul(a, e0));
      a1 = f32x4.sub(a1, f32x4.mul(a, e1));
      const b = v128.load32_splat(factor, 4);
      b0 = f32x4.sub(b0, f32x4.mul(b, e0));
      b1 = f32x4.sub(b1, f32x4.mul(b, e1));
      const c = v128.load32_splat(factor, 8);
      c0 = f32x4.sub(c0, f32x4.mul(c, e0));
      c1 = f32x4.sub(c1, f32x4.mul(c, e1));
      const d = v128.load32_splat(factor, 12);
      d0 = f32x4.sub(d0, f32x4.mul(d, e0));
      d1 = f32x4.sub(d1, f32x4.mul(d, e1));
      factor += factorStride;
      error += STRIP_BYTES;
    }
    v128.store(at, a0);
    v128.store(at, a1, 16);
    v128.store(at, b0, 128);
    v128.store(at, b1, 144);
    v128.store(at, c0, 256);
    v128.store(at, c1, 272);
    v128.store(at, d0, 384);
    v128.store(at, d1, 400);
  }
}

function subtractOne(block: Block, earlier: i32, column: i32): void {
  const u = v128.load32_splat(block.factor + ((<usize>(earlier * block.columns + column)) << 2));
  const errors = block.stripErrors + <usize>earlier * STRIP_BYTES;
  const weights = block.stripWeights + <usize>column * STRIP_BYTES;
  for (let lane: usize = 0; lane < STRIP_BYTES; lane += LANE_BYTES) {
    const w = v128.load(weights + lane);
    v128.store(weights + lane, f32x4.sub(w, f32x4.mul(u, v128.load(errors + lane))));
  }
}

/** What stays of a column that has got all its updates, its error, and what follows for the rest of its panel. */
function pruneColumn(block: Block, column: i32, panelEnd: i32): void {
  const strip = <usize>column * STRIP_BYTES;
  const d = f32x4.splat(diagonal(block, column));
  for (let lane: usize = 0; lane < STRIP_BYTES; lane += LANE_BYTES) {
    const w = v128.load(block.stripWeights + strip + lane);
    const q = v128.andnot(w, v128.load(block.stripMasks + strip + lane));
    v128.store(block.stripWeights + strip + lane, q);
    v128.store(block.stripErrors + strip + lane, f32x4.div(f32x4.sub(w, q), d));
  }
  for (let later = column + 1; later < panelEnd; ++later) subtractOne(block, column, later);
}

/** Takes the staged rows to rows [first, first + STRIP_ROWS) of the columns: 4 x 4 weights at a time. */
export function takeStaged(block: Block, first: i32): void {
  const rowBytes = (<usize>block.stagedStride) << 2;
  const columnBytes = (<usize>block.stride) << 2;
  for (let column = 0; column < block.columns; column += 4) {
    const from = block.staged + ((<usize>column) << 2);
    const to = block.weights + <usize>column * columnBytes + ((<usize>first) << 2);
    for (let row = 0; row < STRIP_ROWS; row += 4) {
      Square.transpose(from + <usize>row * rowBytes, rowBytes, to + ((<usize>row) << 2), columnBytes);
    }
  }
}

/** The way back. */
export function stage(block: Block, first: i32): void {
  const rowBytes = (<usize>block.stagedStride) << 2;
  const columnBytes = (<usize>block.stride) << 2;
  for (let column = 0; column < block.columns; column += 4) {
    const from = block.weights + <usize>column * columnBytes + ((<usize>first) << 2);
    const to = block.staged + ((<usize>column) << 2);
    for (let row = 0; row < STRIP_ROWS; row += 4) {
      Square.transpose(from + ((<usize>row) << 2), columnBytes, to + <usize>row * rowBytes, rowBytes);
    }
  }
}

class Square {
  /** 4 x 4 weights. Strides in bytes. */
  @inline static transpose(from: usize, fromStride: usize, to: usize, toStride: usize): void {
    const a = v128.load(from);
    const b = v128.load(from + fromStride);
    const c = v128.load(from + 2 * fromStride);
    const d = v128.load(from + 3 * fromStride);
    const ab01 = v128.shuffle<i32>(a, b, 0, 4, 1, 5);
    const ab23 = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const cd01 = v128.shuffle<i32>(c, d, 0, 4, 1, 5);
    const cd23 = v128.shuffle<i32>(c, d, 2, 6, 3, 7);
    v128.store(to, v128.shuffle<i64>(ab01, cd01, 0, 2));
    v128.store(to + toStride, v128.shuffle<i64>(ab01, cd01, 1, 3));
    v128.store(to + 2 * toStride, v128.shuffle<i64>(ab23, cd23, 0, 2));
    v128.store(to + 3 * toStride, v128.shuffle<i64>(ab23, cd23, 1, 3));
  }
}

/** How many of the weights of all rows and columns are 0, those that fill up columns among them; -1 where one is not finite. */
export function countZeros(block: Block): i32 {
  const end = block.weights + ((<usize>block.columns * <usize>block.stride) << 2);
  let zeros = i32x4.splat(0);
  let differences = f32x4.splat(0);
  for (let at = block.weights; at < end; at += LANE_BYTES) {
    const w = v128.load(at);
    // A comparison that holds is -1. A weight less itself is 0, or not a number.
    zeros = i32x4.sub(zeros, f32x4.eq(w, f32x4.splat(0)));
    differences = f32x4.add(differences, f32x4.sub(w, w));
  }
  const difference =
    f32x4.extract_lane(differences, 0) +
    f32x4.extract_lane(differences, 1) +
    f32x4.extract_lane(differences, 2) +
    f32x4.extract_lane(differences, 3);
  if (difference != 0) return -1;
  return (
    i32x4.extract_lane(zeros, 0) +
    i32x4.extract_lane(zeros, 1) +
    i32x4.extract_lane(zeros, 2) +
    i32x4.extract_lane(zeros, 3)
  );
}
