/**
 * Files that appear whole or not at all: temp file in the same folder, fsync, rename, fsync of the folder.
 *
 * A process that dies in between leaves a temp file, whose name begins with "." and ends in ".tmp"; it means nothing
 * and may be removed by whoever owns the folder.
 */

import { randomBytes } from 'node:crypto';
import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import { reach } from '../failpoint.ts';

/** Of the file's own name, what its temp file repeats: names end at 255 bytes, characters may have 4. */
const TEMP_NAME_CHARACTERS_MAX = 40;

/**
 * Makes the names in a folder durable: after a rename or a removal.
 *
 * @throws SourceMissing, StorageFailed
 */
export async function fsyncDirectory(directory: string): Promise<void> {
  try {
    const handle = await open(directory, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  } catch (thrown) {
    const errno = (thrown as NodeJS.ErrnoException).code;
    // Network and FUSE file systems without fsync for folders: their renames are as durable as they will get.
    if (errno === 'EINVAL' || errno === 'ENOTSUP') return;
    throw storageError(directory, thrown);
  }
}

/**
 * Writes the chunks one after the other into a file that takes the place of what was there. When the promise resolves
 * the file survives a power failure; when it rejects, the temp file is removed and `path` is as it was (only where the
 * last step, fsync of the folder, fails is the new file already there).
 *
 * @throws StorageFull, StorageFailed, SourceMissing (no such folder); what `chunks` throws
 */
export async function writeFileAtomic(
  path: string,
  chunks: Iterable<Uint8Array> | AsyncIterable<Uint8Array>,
): Promise<void> {
  const name = `.${basename(path).slice(0, TEMP_NAME_CHARACTERS_MAX)}.${randomBytes(6).toString('hex')}.tmp`;
  const temporary = join(dirname(path), name);
  let handle: FileHandle;
  try {
    handle = await open(temporary, 'wx');
  } catch (thrown) {
    throw storageError(path, thrown);
  }
  try {
    try {
      for await (const chunk of chunks) await handle.writeFile(chunk);
      reach('storage.atomic-unsynced');
      await handle.sync();
    } finally {
      await handle.close();
    }
    reach('storage.atomic-synced');
    await rename(temporary, path);
    reach('storage.atomic-renamed');
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw storageError(path, thrown);
  }
  await fsyncDirectory(dirname(path));
  reach('storage.atomic-durable');
}

/** System errors of writes name no file: this one does. */
function storageError(path: string, thrown: unknown): SecateurError {
  if (thrown instanceof SecateurError) return thrown;
  const { code, retryable, details, message } = toSecateurError(thrown);
  return new SecateurError(code, `${path}: ${message}`, { retryable, details: { ...details, path }, cause: thrown });
}
