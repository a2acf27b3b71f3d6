/**
 * Products of the columns of a linear's input, added up over samples so that no grouping of them can move a bit:
 *
 *     P[i, j] = Σ over samples of round(2^30 · Σ over the sample's tokens of x_i x_j / √(S_i S_j)),  S_i = Σ over all tokens of x_i²
 *
 * in integers of 32 bits: |P| is at most about 2^30 (Cauchy-Schwarz), and adding integers is exact in any order. A sample's
 * own sum is float32, by the runtime's Gemm on that sample alone. Rounding costs each entry 2^-31 a sample at most, of a
 * diagonal of 1: less than float32 does.
 *
 * Packed: row after row, of each what is on and above the diagonal, I (I + 1) / 2 integers.
 */
import { invariant, SecateurError } from '../../../shared/errors/secateur-error.ts';
import {
  denseIn,
  lengthOf,
  type MatrixProduct,
  mirrorUpper,
  pack,
  type Range,
  rangesOf,
  type SquareMatrix,
} from './matrix-product.ts';

/** 1 in P's diagonal. */
const ONE = 2 ** 30;
/** Added to a number below 2^31 in magnitude, and taken away again, it leaves the nearest integer (ties to even). */
const ROUNDING = 1.5 * 2 ** 52;
/** Columns of a product that is computed at once: 16 MiB. */
const TILE_COLUMNS = 2048;
/**
 * Sums of squares below this are of columns that count as 0 throughout: at float32's end of range the squares that made
 * them were rounded so coarsely that products divided by them could be anything.
 */
const SUM_MIN = 2 ** -100;

export function packedLength(columns: number): number {
  return (columns * (columns + 1)) / 2;
}

/** Where row `row` of a packed triangle begins: with its element on the diagonal. */
function packedRow(row: number, columns: number): number {
  return row * columns - (row * (row - 1)) / 2;
}

/** 1 / √S, 0 for columns that count as 0. */
function inverseRoots(sums: Float64Array): Float64Array {
  return sums.map((sum) => (sum < SUM_MIN ? 0 : 1 / Math.sqrt(sum)));
}

/** What products are of, for errors. */
export interface ProductsName {
  readonly layer: number;
  readonly statistic: string;
}

/** Memory of one tile: 48 MiB at 2048 tokens. */
export class TileScratch {
  private left = new Float32Array();
  private right = new Float32Array();
  private out = new Float32Array();

  for(tokens: number, columns: number): { left: Float32Array; right: Float32Array; out: Float32Array } {
    const tile = Math.min(columns, TILE_COLUMNS);
    // All columns in one tile are not copied.
    const packed = tile === columns ? 0 : tokens * tile;
    if (this.left.length < packed) [this.left, this.right] = [new Float32Array(packed), new Float32Array(packed)];
    if (this.out.length < tile * tile) this.out = new Float32Array(tile * tile);
    return { left: this.left, right: this.right, out: this.out };
  }
}

/** P of some samples. */
export class ColumnProducts {
  /** Packed. */
  readonly values: Int32Array;
  private readonly columns: number;
  private readonly scale: Float64Array;
  private readonly name: ProductsName;
  private readonly product: MatrixProduct;
  private readonly scratch: TileScratch;

  /**
   * @param sums S, [I]
   * @param scratch may be shared by those that add one after the other
   */
  constructor(name: ProductsName, sums: Float64Array, product: MatrixProduct, scratch = new TileScratch()) {
    this.scratch = scratch;
    this.name = name;
    this.columns = sums.length;
    this.scale = inverseRoots(sums).map((root) => root * Math.sqrt(ONE));
    this.values = new Int32Array(packedLength(sums.length));
    this.product = product;
  }

  /**
   * Adds one sample. Where it throws, `values` are of no use any more.
   *
   * @param input [S, I] float32
   * @throws NonFiniteValue with layer, statistic and column
   * @throws EngineFailed
   */
  async add(input: Float32Array): Promise<void> {
    const { columns } = this;
    const tokens = input.length / columns;
    invariant(Number.isInteger(tokens) && tokens >= 1, 'a sample has whole tokens, one or more');
    const tiles = rangesOf({ begin: 0, end: columns }, TILE_COLUMNS);
    for (const rows of tiles) {
      for (const range of tiles) if (range.begin >= rows.begin) await this.addTile(input, tokens, rows, range);
    }
  }

  private async addTile(input: Float32Array, tokens: number, rows: Range, columns: Range): Promise<void> {
    const { left, right, out } = this.scratch.for(tokens, this.columns);
    const dense = denseIn(out, lengthOf(rows), lengthOf(columns));
    dense.values.fill(0);
    await this.product.accumulate({
      left: this.columnsOf(input, tokens, rows, left),
      right: this.columnsOf(input, tokens, columns, right),
      ...{ transposed: 'left', effect: 'add', out: dense },
    });
    if (rows.begin === columns.begin) this.checkDiagonal(dense.values, rows);
    const { values, scale } = this;
    for (let row = rows.begin; row < rows.end; row++) {
      const first = Math.max(row, columns.begin);
      const scaleOfRow = scale[row] as number;
      let from = (row - rows.begin) * dense.columns + first - columns.begin;
      let to = packedRow(row, this.columns) + first - row;
      for (let column = first; column < columns.end; column++, from++, to++) {
        const value = (dense.values[from] as number) * scaleOfRow * (scale[column] as number);
        values[to] = (values[to] as number) + (value + ROUNDING - ROUNDING);
      }
    }
  }

  /** Columns of [S, I] as a dense matrix: itself where it has no others. */
  private columnsOf(input: Float32Array, tokens: number, range: Range, scratch: Float32Array) {
    if (lengthOf(range) === this.columns) return { values: input, rows: tokens, columns: this.columns };
    // `pack` asks for the row stride only.
    const matrix: SquareMatrix = { values: input, size: this.columns };
    return pack(matrix, { begin: 0, end: tokens }, range, scratch);
  }

  /** What is not finite in a column makes its own product so: integers would hide it. */
  private checkDiagonal(tile: Float32Array, range: Range): void {
    const size = lengthOf(range);
    for (let at = 0; at < size; at++) {
      const value = tile[at * size + at] as number;
      if (Number.isFinite(value)) continue;
      const { layer, statistic } = this.name;
      const column = range.begin + at;
      throw new SecateurError(
        'NonFiniteValue',
        `layer ${layer}: expected finite inputs of the statistic ${statistic}; found that the squares of column ${column} add up to ${value}. The activations overflow or hold NaN: check the checkpoint's weights up to this layer.`,
        { details: { layer, statistic, column } },
      );
    }
  }
}

/**
 * Takes packed products, in pieces of any length, into a square matrix of integers: after all pieces of all parts its
 * upper triangle holds P of all their samples.
 */
export class ProductsSum {
  private readonly values: Int32Array;
  private readonly columns: number;
  private row = 0;
  private column = 0;

  /** @param matrix [I, I], zero at first; its memory becomes the Hessian's */
  constructor(matrix: Float32Array, columns: number) {
    invariant(matrix.length === columns * columns, 'a Hessian is square');
    this.values = new Int32Array(matrix.buffer, matrix.byteOffset, matrix.length);
    this.columns = columns;
  }

  /** The next piece; behind the last one of a part comes the first of the next. */
  add(piece: Int32Array): void {
    for (let at = 0; at < piece.length; ) {
      const count = Math.min(piece.length - at, this.columns - this.column);
      const first = this.row * this.columns + this.column;
      for (let index = 0; index < count; index++) {
        this.values[first + index] = (this.values[first + index] as number) + (piece[at + index] as number);
      }
      at += count;
      this.column += count;
      if (this.column < this.columns) continue;
      this.row = this.row + 1 === this.columns ? 0 : this.row + 1;
      this.column = this.row;
    }
  }
}

/**
 * In place of the sum of all samples' products, in the upper triangle: H = (2 / samples) Σ x xᵀ, [I, I] float32, symmetric.
 *
 * @param sums S, [I]
 */
export function toHessian(matrix: Float32Array, sums: Float64Array, samples: number): void {
  const columns = sums.length;
  const products = new Int32Array(matrix.buffer, matrix.byteOffset, matrix.length);
  const scale = sums.map((sum) => (sum < SUM_MIN ? 0 : Math.sqrt((2 * sum) / samples / ONE)));
  for (let row = 0; row < columns; row++) {
    const begin = row * columns;
    const scaleOfRow = scale[row] as number;
    for (let column = row; column < columns; column++) {
      matrix[begin + column] = (products[begin + column] as number) * scaleOfRow * (scale[column] as number);
    }
  }
  mirrorUpper({ values: matrix, size: columns }, { begin: 0, end: columns });
}
