/** Rows and columns that are read and written at once: whole cache lines on both sides, all of them in the L1 cache. */
const TILE = 16;

/** Writes the transpose of source [rows, columns] to target [columns, rows]; both are row-major. */
export function transpose(source: Float32Array, rows: number, columns: number, target: Float32Array): void {
  for (let top = 0; top < rows; top += TILE) {
    const bottom = Math.min(rows, top + TILE);
    for (let first = 0; first < columns; first += TILE) {
      const end = Math.min(columns, first + TILE);
      for (let column = first; column < end; column++) {
        const targetEnd = column * rows + bottom;
        for (let to = column * rows + top, from = top * columns + column; to < targetEnd; to++, from += columns) {
          target[to] = source[from] as number;
        }
      }
    }
  }
}
