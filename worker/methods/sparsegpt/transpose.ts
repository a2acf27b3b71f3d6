/** Rows and columns that are read and written at once: both sides stay in the first-level cache. */
const TILE = 32;

/** Writes the transpose of source [rows, columns] to target [columns, rows]; both are row-major. */
export function transpose(source: Float32Array, rows: number, columns: number, target: Float32Array): void {
  for (let top = 0; top < rows; top += TILE) {
    const bottom = Math.min(rows, top + TILE);
    for (let first = 0; first < columns; first += TILE) {
      const end = Math.min(columns, first + TILE);
      for (let column = first; column < end; column++) {
        for (let row = top; row < bottom; row++) {
          target[column * rows + row] = source[row * columns + column] as number;
        }
      }
    }
  }
}
