/** SHA-256 of a file of any size, in bounded memory. */

import { createHash } from 'node:crypto';
import { toSecateurError } from '../errors/secateur-error.ts';
import { openSourceFile, readFully } from './source-file.ts';

/** Two buffers of this size: while one is hashed the other is read. */
const CHUNK_SIZE_BYTES = 1024 * 1024;

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
  const { handle } = await openSourceFile(path, 'CheckpointInvalid');
  try {
    const hash = createHash('sha256');
    let [filled, spare] = [new Uint8Array(CHUNK_SIZE_BYTES), new Uint8Array(CHUNK_SIZE_BYTES)];
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
