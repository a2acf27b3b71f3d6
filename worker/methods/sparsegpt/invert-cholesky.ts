/**
 * U = the upper Cholesky factor of H^-1 (U^T U = H^-1), in the memory of H's upper triangle, without an inverse of H.
 *
 * With R upper triangular and H = R R^T (Cholesky with rows and columns reversed), U = R^-1. Halves, recursively:
 *
 *     H = | A   B |    R = | R11  R12 |    U = | U11  -U11 R12 U22 |    U22 from C,    R12 = B U22^T,
 *         | B^T C |        |  0   R22 |        |  0        U22     |    U11 from A - R12 R12^T
 *
 * so beyond 64 columns all is products. 2/3 I^3 operations, where inverting first takes 4/3 I^3 and loses more digits.
 *
 * Invariants: 1. only what is on and above the diagonal is read or written: the lower triangle keeps H. 2. every product
 * has M >= N (the left half is never the shorter one), so that nothing depends on the threads.
 */
import {
  type DenseMatrix,
  denseIn,
  evenRangesOf,
  lengthOf,
  type MatrixProduct,
  pack,
  packUpper,
  type Range,
  rangesOf,
  rowsOf,
  type SquareMatrix,
  unpackUpper,
} from './matrix-product.ts';
import { invertSmall, SMALL_SIZE_MAX } from './small-factor.ts';

export interface TileSizes {
  /** Columns of a product; a multiple of 64. */
  readonly tile: number;
  /** Rows of a product, twice the tile or more. */
  readonly panel: number;
}

/** Products [2048, 512] x [512, 512]: near the runtime's best rate, and copies are a tenth of the time. */
export const TILE_SIZES: TileSizes = { tile: 512, panel: 2048 };

/** Tiles of triangles are cut finer, down to here: what lies beyond the diagonal is computed in vain. */
const TRIANGLE_TILE_MIN = 128;

/** Two panels of the longest half, a tile, and a result: 4 * (2 * panel * I / 2 + panel * tile) bytes and little more. */
interface Scratch {
  readonly panel: Float32Array;
  readonly otherPanel: Float32Array;
  readonly tile: Float32Array;
  readonly out: Float32Array;
}

/**
 * matrix: [I, I] float32; on and above its diagonal a symmetric matrix H before, U after. Its other half is left alone.
 * Memory beside it: 4 * panel * (I + 2 * tile) bytes at most (185 MiB for 22016 columns).
 *
 * @returns the column whose pivot is not positive, null where U is there. After a failure the upper triangle is worthless.
 * @throws EngineFailed
 */
export async function invertCholesky(
  matrix: SquareMatrix,
  product: MatrixProduct,
  sizes: TileSizes = TILE_SIZES,
): Promise<number | null> {
  const longest = lengthOf(halves({ begin: 0, end: matrix.size }, sizes).left);
  const panelRows = Math.min(sizes.panel, longest);
  const scratch = {
    panel: new Float32Array(panelRows * longest),
    otherPanel: new Float32Array(longest > sizes.panel ? panelRows * longest : 0),
    tile: new Float32Array(sizes.tile * sizes.tile),
    out: new Float32Array(panelRows * Math.min(sizes.tile, longest)),
  };
  return new CholeskyInversion(matrix, product, sizes, scratch).invert({ begin: 0, end: matrix.size });
}

function halves({ begin, end }: Range, { tile }: TileSizes): { left: Range; right: Range } {
  const length = end - begin;
  const unit = length > 2 * tile ? tile : SMALL_SIZE_MAX;
  const middle = begin + Math.min(length, Math.ceil(length / 2 / unit) * unit);
  return { left: { begin, end: middle }, right: { begin: middle, end } };
}

class CholeskyInversion {
  private readonly matrix: SquareMatrix;
  private readonly product: MatrixProduct;
  private readonly sizes: TileSizes;
  private readonly scratch: Scratch;

  constructor(matrix: SquareMatrix, product: MatrixProduct, sizes: TileSizes, scratch: Scratch) {
    this.matrix = matrix;
    this.product = product;
    this.sizes = sizes;
    this.scratch = scratch;
  }

  async invert(range: Range): Promise<number | null> {
    if (lengthOf(range) <= SMALL_SIZE_MAX) return invertSmall(this.matrix, range);
    const { left, right } = halves(range, this.sizes);
    const failedRight = await this.invert(right);
    if (failedRight !== null) return failedRight;
    const tile = Math.min(this.sizes.tile, Math.max(TRIANGLE_TILE_MIN, Math.ceil(lengthOf(right) / 4)));
    await this.multiplyByTransposedRight(left, right, tile);
    await this.subtractSquare(left, right, tile);
    const failedLeft = await this.invert(left);
    if (failedLeft !== null) return failedLeft;
    await this.multiplyByRight(left, right, tile);
    await this.multiplyByLeft(left, right, tile);
    return null;
  }

  /** matrix[left, right]: B → -B U22^T = -R12. */
  private async multiplyByTransposedRight(left: Range, right: Range, tile: number): Promise<void> {
    const columns = rangesOf(right, tile);
    for (const rows of evenRangesOf(left, this.sizes.panel)) {
      const panel = this.packPanel(rows, columns, this.scratch.panel);
      for (const [j, outColumns] of columns.entries()) {
        const out = this.zeroOut(rows, outColumns);
        for (let k = j; k < columns.length; k++) {
          const triangle = packUpper(this.matrix, outColumns, columns[k] as Range, this.scratch.tile);
          await this.product.accumulate({
            ...{ left: panel[k] as DenseMatrix, right: triangle, transposed: 'right', effect: 'subtract', out },
          });
        }
        unpackUpper(out, this.matrix, rows, outColumns);
      }
    }
  }

  /** The upper triangle of matrix[left, left]: A → A - R12 R12^T. */
  private async subtractSquare(left: Range, right: Range, tile: number): Promise<void> {
    const depths = rangesOf(right, tile);
    const panels = evenRangesOf(left, this.sizes.panel);
    for (const [q, columnsPanel] of panels.entries()) {
      const transposed = this.packPanel(columnsPanel, depths, this.scratch.panel);
      for (let p = 0; p <= q; p++) {
        const rowsPanel = panels[p] as Range;
        const panel = p === q ? transposed : this.packPanel(rowsPanel, depths, this.scratch.otherPanel);
        for (const columns of rangesOf(columnsPanel, tile)) {
          const rows = { begin: rowsPanel.begin, end: Math.min(rowsPanel.end, columns.end) };
          const out = pack(this.matrix, rows, columns, this.scratch.out);
          for (const [k, depth] of panel.entries()) {
            await this.product.accumulate({
              left: rowsOf(depth, within(rows, rowsPanel)),
              right: rowsOf(transposed[k] as DenseMatrix, within(columns, columnsPanel)),
              ...{ transposed: 'right', effect: 'subtract', out },
            });
          }
          unpackUpper(out, this.matrix, rows, columns);
        }
      }
    }
  }

  /** matrix[left, right]: X → X U22. */
  private async multiplyByRight(left: Range, right: Range, tile: number): Promise<void> {
    const columns = rangesOf(right, tile);
    for (const rows of evenRangesOf(left, this.sizes.panel)) {
      const panel = this.packPanel(rows, columns, this.scratch.panel);
      for (const [j, outColumns] of columns.entries()) {
        const out = this.zeroOut(rows, outColumns);
        for (let k = 0; k <= j; k++) {
          const triangle = packUpper(this.matrix, columns[k] as Range, outColumns, this.scratch.tile);
          await this.product.accumulate({
            ...{ left: panel[k] as DenseMatrix, right: triangle, transposed: 'none', effect: 'add', out },
          });
        }
        unpackUpper(out, this.matrix, rows, outColumns);
      }
    }
  }

  /** matrix[left, right]: X → U11 X. Panels go downwards: rows of X are replaced when no later panel needs them. */
  private async multiplyByLeft(left: Range, right: Range, tile: number): Promise<void> {
    for (const rows of evenRangesOf(left, this.sizes.panel)) {
      const depths = rangesOf({ begin: rows.begin, end: left.end }, tile);
      const panel = this.packTriangle(rows, depths);
      for (const columns of rangesOf(right, tile)) {
        const out = this.zeroOut(rows, columns);
        for (const [k, depth] of depths.entries()) {
          // Rows of U11 below this tile of its columns are 0.
          const reached = { begin: 0, end: Math.min(rows.end, depth.end) - rows.begin };
          await this.product.accumulate({
            left: rowsOf(panel[k] as DenseMatrix, reached),
            right: pack(this.matrix, depth, columns, this.scratch.tile),
            ...{ transposed: 'none', effect: 'add', out: rowsOf(out, reached) },
          });
        }
        unpackUpper(out, this.matrix, rows, columns);
      }
    }
  }

  /** matrix[rows, columns of each range], one dense matrix after the other. */
  private packPanel(rows: Range, columns: readonly Range[], scratch: Float32Array): DenseMatrix[] {
    let begin = 0;
    return columns.map((range) => {
      const dense = pack(this.matrix, rows, range, scratch.subarray(begin));
      begin += dense.values.length;
      return dense;
    });
  }

  private packTriangle(rows: Range, columns: readonly Range[]): DenseMatrix[] {
    let begin = 0;
    return columns.map((range) => {
      const dense = packUpper(this.matrix, rows, range, this.scratch.panel.subarray(begin));
      begin += dense.values.length;
      return dense;
    });
  }

  private zeroOut(rows: Range, columns: Range): DenseMatrix {
    const out = denseIn(this.scratch.out, lengthOf(rows), lengthOf(columns));
    out.values.fill(0);
    return out;
  }
}

function within(range: Range, outer: Range): Range {
  return { begin: range.begin - outer.begin, end: range.end - outer.begin };
}
