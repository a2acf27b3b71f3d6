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
 * Several threads share out the products of one such step, by rows or columns of their results, and meet before the next.
 *
 * Invariants: 1. only what is on and above the diagonal is read or written until U is there: the lower triangle keeps H,
 * and at last gets U's transpose. 2. how results are shared out moves no bit (see MatrixProduct); where sums are cut depends
 * on the matrix's size alone.
 */
import {
  type DenseMatrix,
  denseIn,
  lengthOf,
  type MatrixProduct,
  mirrorUpper,
  pack,
  packUpper,
  type Range,
  rangesOf,
  rowsOf,
  type SquareMatrix,
  unpackUpper,
} from './matrix-product.ts';
import { invertSmall, SMALL_SIZE_MAX } from './small-factor.ts';
import { ALONE, partsOf, type Team } from './team.ts';

export interface TileSizes {
  /** Columns of a result's tile, and terms of one product; a multiple of 128. */
  readonly tile: number;
  /** Rows (or columns) of a result that a thread has in hand at once, at most; a multiple of the tile. */
  readonly panel: number;
  /** What has no more columns than this one thread does alone: the others would wait for it more than help. */
  readonly alone: number;
}

/** Products [512, 512] x [512, 512]: near the runtime's best rate; a call and its copies are a fifth of the time. */
export const TILE_SIZES: TileSizes = { tile: 512, panel: 512, alone: 128 };

/** Tiles of smaller triangles are cut finer, down to here: what lies beyond the diagonal is computed in vain. */
const TRIANGLE_TILE_MIN = 128;

/** Parts of a step for each thread: one that is late leaves the rest to the others. */
const PARTS_PER_THREAD = 2;
/** Parts by rows are whole multiples of this, parts by columns of that: as MatrixProduct wants them. */
const ROW_UNIT = 64;
const COLUMN_UNIT = 128;
/** Rows that a thread copies across the diagonal at once. */
const MIRROR_ROWS = 64;

interface Scratch {
  readonly panel: Float32Array;
  readonly otherPanel: Float32Array;
  readonly tile: Float32Array;
  readonly out: Float32Array;
}

/**
 * matrix: [I, I] float32; on and above its diagonal a symmetric matrix H before, U after; its other half is left alone, but
 * that it becomes the transpose of U once U is there.
 * Memory beside it, on each thread: 4 * (panel + tile + 128) * I / 2 bytes and little more (54 MB for 22016 columns).
 *
 * Every thread of the team calls it, with the same memory. The same bytes for a team of any size.
 *
 * @param product of this thread alone
 * @returns the column whose pivot is not positive, null where U is there. After a failure the upper triangle is worthless.
 * @throws EngineFailed
 */
export async function invertCholesky(
  matrix: SquareMatrix,
  product: MatrixProduct,
  team: Team,
  sizes: TileSizes,
): Promise<number | null> {
  const longest = lengthOf(halves({ begin: 0, end: matrix.size }, sizes).left);
  // Parts by columns may be longer by less than a unit.
  const panel = Math.min(sizes.panel + COLUMN_UNIT, longest);
  const scratch = {
    panel: new Float32Array(panel * longest),
    otherPanel: new Float32Array(Math.min(sizes.tile, longest) * longest),
    tile: new Float32Array(sizes.panel * sizes.tile),
    out: new Float32Array(Math.min(sizes.panel, longest) * Math.max(panel, sizes.tile)),
  };
  const all = { begin: 0, end: matrix.size };
  const failed = await new CholeskyInversion(matrix, product, sizes, scratch).invert(all, team);
  if (failed !== null) return failed;
  // Rows further up have more right of the diagonal: they come in many parts, and first.
  const bands = rangesOf(all, MIRROR_ROWS);
  await team.share(bands.length, async (item) => mirrorUpper(matrix, bands[item] as Range));
  return null;
}

function halves({ begin, end }: Range, { tile }: TileSizes): { left: Range; right: Range } {
  const length = end - begin;
  const unit = length > 2 * tile ? tile : SMALL_SIZE_MAX;
  const middle = begin + Math.min(length, Math.ceil(length / 2 / unit) * unit);
  return { left: { begin, end: middle }, right: { begin: middle, end } };
}

/** A fourth of the triangle, in multiples of the least. */
function triangleTile(length: number, { tile }: TileSizes): number {
  return Math.min(tile, Math.max(1, Math.ceil(length / 4 / TRIANGLE_TILE_MIN)) * TRIANGLE_TILE_MIN);
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

  async invert(range: Range, team: Team): Promise<number | null> {
    if (team.size > 1 && lengthOf(range) <= this.sizes.alone) return this.invertAlone(range, team);
    if (lengthOf(range) <= SMALL_SIZE_MAX) return invertSmall(this.matrix, range);
    const { left, right } = halves(range, this.sizes);
    const failedRight = await this.invert(right, team);
    if (failedRight !== null) return failedRight;
    const tile = triangleTile(lengthOf(right), this.sizes);
    await this.multiplyByTransposedRight(left, right, tile, team);
    await this.subtractSquare(left, right, tile, team);
    const failedLeft = await this.invert(left, team);
    if (failedLeft !== null) return failedLeft;
    await this.multiplyByRight(left, right, tile, team);
    await this.multiplyByLeft(left, right, tile, team);
    return null;
  }

  private async invertAlone(range: Range, team: Team): Promise<number | null> {
    const found = new Uint32Array(1);
    await team.share(1, async () => {
      const failed = await this.invert(range, ALONE);
      found[0] = failed === null ? 0 : failed + 1;
    });
    team.sum(found);
    return found[0] === 0 ? null : (found[0] as number) - 1;
  }

  /** matrix[left, right]: B → -B U22^T = -R12. */
  private multiplyByTransposedRight(left: Range, right: Range, tile: number, team: Team): Promise<void> {
    const columns = rangesOf(right, tile);
    return this.shareRows(left, team, async (rows) => {
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
    });
  }

  /** The upper triangle of matrix[left, left]: A → A - R12 R12^T. */
  private async subtractSquare(left: Range, right: Range, tile: number, team: Team): Promise<void> {
    const depths = rangesOf(right, tile);
    const tiles = this.rowParts(left, team).flatMap((part) =>
      rangesOf(left, tile)
        .filter((columns) => columns.end > part.begin)
        .map((columns) => ({ part, columns })),
    );
    let packed: { part: Range; panel: DenseMatrix[] } | null = null;
    await team.share(tiles.length, async (item) => {
      const { part, columns } = tiles[item] as (typeof tiles)[number];
      if (packed?.part !== part) packed = { part, panel: this.packPanel(part, depths, this.scratch.panel) };
      const transposed = this.packPanel(columns, depths, this.scratch.otherPanel);
      const rows = { begin: part.begin, end: Math.min(part.end, columns.end) };
      const out = pack(this.matrix, rows, columns, this.scratch.out);
      for (const [k, depth] of packed.panel.entries()) {
        await this.product.accumulate({
          left: rowsOf(depth, { begin: 0, end: lengthOf(rows) }),
          right: transposed[k] as DenseMatrix,
          ...{ transposed: 'right', effect: 'subtract', out },
        });
      }
      unpackUpper(out, this.matrix, rows, columns);
    });
  }

  /** matrix[left, right]: X → X U22. */
  private multiplyByRight(left: Range, right: Range, tile: number, team: Team): Promise<void> {
    const columns = rangesOf(right, tile);
    return this.shareRows(left, team, async (rows) => {
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
    });
  }

  /** matrix[left, right]: X → U11 X, columns of X by columns. */
  private async multiplyByLeft(left: Range, right: Range, tile: number, team: Team): Promise<void> {
    const depths = rangesOf(left, tile);
    const parts = partsOf(right, PARTS_PER_THREAD * team.size, COLUMN_UNIT, this.sizes.panel);
    await team.share(parts.length, async (item) => {
      const columns = parts[item] as Range;
      const panel = this.packRows(depths, columns);
      for (const rows of rangesOf(left, this.sizes.panel)) {
        const out = this.zeroOut(rows, columns);
        for (const [k, depth] of depths.entries()) {
          // Rows of U11 below this tile of its columns are 0, and left of the diagonal all is.
          if (depth.end <= rows.begin) continue;
          const reached = { begin: rows.begin, end: Math.min(rows.end, depth.end) };
          await this.product.accumulate({
            left: packUpper(this.matrix, reached, depth, this.scratch.tile),
            right: panel[k] as DenseMatrix,
            ...{ transposed: 'none', effect: 'add', out: rowsOf(out, { begin: 0, end: lengthOf(reached) }) },
          });
        }
        unpackUpper(out, this.matrix, rows, columns);
      }
    });
  }

  private async shareRows(range: Range, team: Team, work: (rows: Range) => Promise<void>): Promise<void> {
    const parts = this.rowParts(range, team);
    await team.share(parts.length, (item) => work(parts[item] as Range));
  }

  private rowParts(range: Range, team: Team): Range[] {
    return partsOf(range, PARTS_PER_THREAD * team.size, ROW_UNIT, this.sizes.panel);
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

  /** matrix[rows of each range, columns], likewise. */
  private packRows(rows: readonly Range[], columns: Range): DenseMatrix[] {
    let begin = 0;
    return rows.map((range) => {
      const dense = pack(this.matrix, range, columns, this.scratch.panel.subarray(begin));
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
