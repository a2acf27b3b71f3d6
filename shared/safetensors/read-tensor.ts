/** Reads a tensor's bytes, or some of its rows, into memory of their own. */

import { openSourceFile, readFully } from '../checkpoint/source-file.ts';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { invariant, SecateurError, toSecateurError } from '../errors/secateur-error.ts';

/**
 * Reads a whole tensor.
 *
 * @returns its bytes at the beginning of a buffer of their own: a typed array of any element type can view it
 * @throws SourceMissing, SourceChanged (the file ends before the tensor does), StorageFailed
 */
export async function readTensorBytes(location: TensorLocation): Promise<Uint8Array<ArrayBuffer>> {
  return readRange(location, location.offset, location.sizeBytes);
}

/**
 * Reads `rowCount` rows of a tensor [rows, …] from `firstRow` on; a row is everything behind the first dimension.
 *
 * @returns as readTensorBytes
 * @throws as readTensorBytes; Internal when the rows are not the tensor's
 */
export async function readTensorRows(
  location: TensorLocation,
  firstRow: number,
  rowCount: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const { name, shape, offset, sizeBytes } = location;
  const [rows] = shape;
  invariant(rows !== undefined, `${name} of shape [${shape.join(', ')}] has rows`);
  const inside = Number.isInteger(firstRow) && Number.isInteger(rowCount) && firstRow >= 0 && rowCount >= 0;
  invariant(inside && firstRow + rowCount <= rows, `rows ${firstRow} + ${rowCount} are among the ${rows} of ${name}`);
  const rowSizeBytes = rows === 0 ? 0 : sizeBytes / rows;
  return readRange(location, offset + firstRow * rowSizeBytes, rowCount * rowSizeBytes);
}

async function readRange(location: TensorLocation, offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const { name, file } = location;
  const { handle, sizeBytes } = await openSourceFile(file, 'SourceChanged');
  try {
    // Before memory is taken for it: the file may have been cut since its header was read.
    if (offset + length > sizeBytes) throw becameShorter(file, name, offset + length, sizeBytes);
    const bytes = new Uint8Array(length);
    const found = await readFully(handle, bytes, offset);
    if (found < length) throw becameShorter(file, name, offset + length, offset + found);
    return bytes;
  } catch (thrown) {
    throw toSecateurError(thrown);
  } finally {
    await handle.close();
  }
}

function becameShorter(file: string, tensor: string, expected: number, found: number): SecateurError {
  return new SecateurError(
    'SourceChanged',
    `${file}: tensor ${tensor}: expected at least ${expected} bytes of file; found ${found}: the file became shorter since its header was read. Restore the file, then run again.`,
    { details: { file, tensor } },
  );
}
