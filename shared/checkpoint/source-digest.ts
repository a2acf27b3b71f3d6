/** SHA-256 of a file: the digest that `sha256sum` prints and that the Hugging Face Hub keeps of large files. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { toSecateurError } from '../errors/secateur-error.ts';

const READ_CHUNK_BYTES = 1024 * 1024;

/** @param onProgress is told the bytes done after each chunk */
export async function digestFile(
  path: string,
  onProgress?: (doneBytes: number) => void,
): Promise<{ sha256: string; sizeBytes: number }> {
  const hash = createHash('sha256');
  let sizeBytes = 0;
  try {
    for await (const chunk of createReadStream(path, { highWaterMark: READ_CHUNK_BYTES })) {
      hash.update(chunk as Buffer);
      sizeBytes += (chunk as Buffer).length;
      onProgress?.(sizeBytes);
    }
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
  return { sha256: hash.digest('hex'), sizeBytes };
}
