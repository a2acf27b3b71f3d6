/**
 * The one product that the solver asks for, and how parts of large matrices get into it. Whoever computes it (ONNX
 * Runtime, worker/engine/matrix-product.ts) takes dense row-major operands only, hence the copies in and out here.
 */

/** Dense, row-major: `values` begins with element [0, 0] and holds rows * columns of them. */
export interface DenseMatrix {
  readonly values: Float32Array;
  readonly rows: number;
  readonly columns: number;
}

export interface ProductCall {
  /** A as it is [M, K], or as its transpose [K, M]. */
  readonly left: DenseMatrix;
  /** B as it is [K, N], or as its transpose [N, K]. */
  readonly right: DenseMatrix;
  /** Which operand is the transpose of what is multiplied. */
  readonly transposed: 'none' | 'left' | 'right';
  readonly effect: 'add' | 'subtract';
  /** [M, N], changed in place: out + A B or out - A B. */
  readonly out: DenseMatrix;
}

export interface MatrixProduct {
  /**
   * Float32, sums in float32. Deterministic; the same for any number of threads where M >= N or the left operand is the
   * transposed one. A row of the result does not depend on which others there are, where there are two or more; nor does a
   * column, where there are more than 64, or where the left operand is the transposed one. The solver asks for nothing else.
   *
   * MLAS gives threads columns of B where N > M, else rows of A. With 64 columns or fewer it cuts sums at other terms than
   * with more, unless A is transposed, and it has another kernel for a single row (onnxruntime/core/mlas/lib/sgemm.cpp,
   * MlasSgemmOperation).
   *
   * @throws EngineFailed
   */
  accumulate(call: ProductCall): Promise<void>;
}

/** A square matrix in which parts are addressed by row and column: [size, size], row-major. */
export interface SquareMatrix {
  readonly values: Float32Array;
  readonly size: number;
}

/** Rows and columns that are copied across the diagonal at once. */
const MIRROR_TILE = 32;

export interface Range {
  readonly begin: number;
  readonly end: number;
}

export function lengthOf(range: Range): number {
  return range.end - range.begin;
}

/** [0, 10) in pieces of at most 4: [0, 4), [4, 8), [8, 10). */
export function rangesOf({ begin, end }: Range, lengthMax: number): Range[] {
  const count = Math.ceil((end - begin) / lengthMax);
  return Array.from({ length: count }, (_, piece) => ({
    begin: begin + piece * lengthMax,
    end: Math.min(end, begin + (piece + 1) * lengthMax),
  }));
}

/** Copies matrix[rows, columns] to the beginning of a scratch: dense. */
export function pack(matrix: SquareMatrix, rows: Range, columns: Range, scratch: Float32Array): DenseMatrix {
  const [source, target] = [bytesOf(matrix.values), bytesOf(scratch)];
  const width = lengthOf(columns);
  for (let row = rows.begin, at = 0; row < rows.end; row++, at += width) {
    const first = row * matrix.size;
    source.copy(target, 4 * at, 4 * (first + columns.begin), 4 * (first + columns.end));
  }
  return denseIn(scratch, lengthOf(rows), width);
}

/** The same of a triangle: what is below the matrix's diagonal counts as 0. */
export function packUpper(matrix: SquareMatrix, rows: Range, columns: Range, scratch: Float32Array): DenseMatrix {
  const [source, target] = [bytesOf(matrix.values), bytesOf(scratch)];
  const width = lengthOf(columns);
  for (let row = rows.begin, at = 0; row < rows.end; row++, at += width) {
    const first = row * matrix.size;
    const begin = Math.min(columns.end, Math.max(row, columns.begin));
    if (begin > columns.begin) scratch.fill(0, at, at + begin - columns.begin);
    source.copy(target, 4 * (at + begin - columns.begin), 4 * (first + begin), 4 * (first + columns.end));
  }
  return denseIn(scratch, lengthOf(rows), width);
}

/** Copies a dense matrix to matrix[rows, columns]; nothing below the matrix's diagonal is written. */
export function unpackUpper(dense: DenseMatrix, matrix: SquareMatrix, rows: Range, columns: Range): void {
  const [source, target] = [bytesOf(dense.values), bytesOf(matrix.values)];
  for (let row = rows.begin, at = 0; row < rows.end; row++, at += dense.columns) {
    const begin = Math.min(columns.end, Math.max(row, columns.begin));
    source.copy(target, 4 * (row * matrix.size + begin), 4 * (at + begin - columns.begin), 4 * (at + dense.columns));
  }
}

/** Copies by Buffer take half the time of a typed array's `set` where memory is shared, and no array for each row. */
function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Buffer {
  return Buffer.from(buffer, byteOffset, byteLength);
}

/**
 * Copies what these rows have right of the diagonal to below it. Nothing left of the diagonal is read, nothing right of it
 * written: threads may each take other rows.
 */
export function mirrorUpper({ values, size }: SquareMatrix, rows: Range): void {
  for (let top = rows.begin; top < rows.end; top += MIRROR_TILE) {
    const bottom = Math.min(rows.end, top + MIRROR_TILE);
    for (let first = top; first < size; first += MIRROR_TILE) {
      const end = Math.min(size, first + MIRROR_TILE);
      for (let column = first; column < end; column++) {
        for (let row = top; row < Math.min(bottom, column); row++) {
          values[column * size + row] = values[row * size + column] as number;
        }
      }
    }
  }
}

/** The beginning of a scratch as a matrix; its values are whatever they are. */
export function denseIn(scratch: Float32Array, rows: number, columns: number): DenseMatrix {
  return { values: scratch.subarray(0, rows * columns), rows, columns };
}

/** Rows of a dense matrix, without a copy. */
export function rowsOf({ values, columns }: DenseMatrix, rows: Range): DenseMatrix {
  return { values: values.subarray(rows.begin * columns, rows.end * columns), rows: lengthOf(rows), columns };
}
