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
   * transposed one: the solver asks for nothing else.
   *
   * MLAS gives threads columns of B where N > M, else rows of A. A thread with 64 columns or fewer cuts its sums at other
   * terms than one with more, unless A is transposed (onnxruntime/core/mlas/lib/sgemm.cpp, MlasSgemmOperation).
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

/** The same in as few pieces, all of about the same length: none is so short that a product of it is M < N. */
export function evenRangesOf(range: Range, lengthMax: number): Range[] {
  const length = lengthOf(range);
  return rangesOf(range, Math.ceil(length / Math.ceil(length / lengthMax)));
}

/** Copies matrix[rows, columns] to the beginning of a scratch: dense. */
export function pack(matrix: SquareMatrix, rows: Range, columns: Range, scratch: Float32Array): DenseMatrix {
  const width = lengthOf(columns);
  for (let row = rows.begin, at = 0; row < rows.end; row++, at += width) {
    const first = row * matrix.size;
    scratch.set(matrix.values.subarray(first + columns.begin, first + columns.end), at);
  }
  return denseIn(scratch, lengthOf(rows), width);
}

/** The same of a triangle: what is below the matrix's diagonal counts as 0. */
export function packUpper(matrix: SquareMatrix, rows: Range, columns: Range, scratch: Float32Array): DenseMatrix {
  const width = lengthOf(columns);
  for (let row = rows.begin, at = 0; row < rows.end; row++, at += width) {
    const first = row * matrix.size;
    const begin = Math.min(columns.end, Math.max(row, columns.begin));
    scratch.fill(0, at, at + begin - columns.begin);
    scratch.set(matrix.values.subarray(first + begin, first + columns.end), at + begin - columns.begin);
  }
  return denseIn(scratch, lengthOf(rows), width);
}

/** Copies a dense matrix to matrix[rows, columns]; nothing below the matrix's diagonal is written. */
export function unpackUpper(dense: DenseMatrix, matrix: SquareMatrix, rows: Range, columns: Range): void {
  for (let row = rows.begin, at = 0; row < rows.end; row++, at += dense.columns) {
    const begin = Math.min(columns.end, Math.max(row, columns.begin));
    const source = dense.values.subarray(at + begin - columns.begin, at + dense.columns);
    matrix.values.set(source, row * matrix.size + begin);
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
