/** SHA-256 of a file of any size, in bounded memory. */

import { createHash } from 'node:crypto';
import { toSecateurError } from '../errors/secateur-error.ts';
import { openSourceFile, readFully } from './source-file.ts';

/** Two buffers of at most this size: while one is hashed the other is read. */
const CHUNK_SIZE_BYTES = 1024 * 1024;
/** A coordinator digests thousands of small files: each takes no more memory than it is long. */
const CHUNK_SIZE_BYTES_MIN = 4 * 1024;

export interface FileDigest {
  /** Lower-case hexadecimal. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/**
 * Digests a file from its first byte to its last.
 *
 * @param onProgress called after every chunk with the bytes done so far
 * @throws SourceMissing, CheckpointInvalid (no regular file), StorageFailed
 */
export async function digestFile(path: string, onProgress?: (doneBytes: number) => void): Promise<FileDigest> {
  const { handle, sizeBytes: expectedBytes } = await openSourceFile(path, 'CheckpointInvalid');
  try {
    const hash = createHash('sha256');
    const chunkBytes = Math.min(CHUNK_SIZE_BYTES, Math.max(CHUNK_SIZE_BYTES_MIN, expectedBytes));
    let [filled, spare] = [new Uint8Array(chunkBytes), new Uint8Array(chunkBytes)];
    let sizeBytes = 0;
    let length = await readFully(handle, filled, 0);
    while (length > 0) {
      sizeBytes += length;
      onProgress?.(sizeBytes);
      const next = readFully(handle, spare, sizeBytes);
      hash.update(filled.subarray(0, length));
      length = await next;
      [filled, spare] = [spare, filled];
    }
    return { sha256: hash.digest('hex'), sizeBytes };
  } catch (thrown) {
    throw toSecateurError(thrown);
  } finally {
    await handle.close();
  }
}
