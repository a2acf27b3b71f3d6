/** Reads a tensor, or some of its rows, into memory: for token ids, statistics and single rows, not for weights. */
import { open } from 'node:fs/promises';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { invariant, SecateurError } from '../errors/secateur-error.ts';

/** A copy at an aligned address, so that any typed array can stand on its buffer. @throws SourceChanged */
export async function readTensorBytes(location: TensorLocation): Promise<Uint8Array<ArrayBuffer>> {
  return readRange(location, location.offset, location.sizeBytes);
}

/** Rows [firstRow, firstRow + rowCount) of a tensor of at least one dimension. */
export async function readTensorRows(
  location: TensorLocation,
  firstRow: number,
  rowCount: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const rows = location.shape[0] ?? 0;
  invariant(
    firstRow >= 0 && rowCount >= 0 && firstRow + rowCount <= rows,
    `rows ${firstRow}+${rowCount} are in ${location.name}`,
  );
  const rowBytes = rows === 0 ? 0 : location.sizeBytes / rows;
  return readRange(location, location.offset + firstRow * rowBytes, rowCount * rowBytes);
}

async function readRange(
  location: TensorLocation,
  offset: number,
  sizeBytes: number,
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(sizeBytes);
  const handle = await open(location.file, 'r');
  try {
    let done = 0;
    while (done < sizeBytes) {
      const { bytesRead } = await handle.read(bytes, done, sizeBytes - done, offset + done);
      if (bytesRead === 0) {
        throw new SecateurError(
          'SourceChanged',
          `${location.file}: ends inside tensor ${location.name}. It was cut short since its header was read: restore it.`,
          {
            details: { file: location.file, tensor: location.name },
          },
        );
      }
      done += bytesRead;
    }
  } finally {
    await handle.close();
  }
  return bytes;
}
