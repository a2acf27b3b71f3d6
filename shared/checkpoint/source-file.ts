/**
 * Opening a file that somebody else made and may still change: it must be a regular file (through links, as a Hugging
 * Face cache has them), and every read says so when bytes are missing.
 */

import { constants } from 'node:fs';
import { type FileHandle, lstat, open, realpath } from 'node:fs/promises';
import { type ErrorCode, SecateurError, toSecateurError } from '../errors/secateur-error.ts';

/** One read of the file system: Linux reads at most 2^31 - 4096 bytes at once, Node 2^31 - 1. */
const READ_SIZE_BYTES_MAX = 1024 * 1024 * 1024;

export interface SourceFile {
  readonly handle: FileHandle;
  /** Absolute, with every link resolved. */
  readonly path: string;
  readonly sizeBytes: number;
}

/**
 * Opens a regular file for reading; the caller closes the handle.
 *
 * @param notRegular the code for a folder, a pipe, a socket or a device
 * @throws SourceMissing (no such file, a link to nothing, a loop of links), `notRegular`, StorageFailed
 */
export async function openSourceFile(file: string, notRegular: ErrorCode): Promise<SourceFile> {
  let path: string;
  let handle: FileHandle;
  try {
    path = await realpath(file);
    // Without O_NONBLOCK, opening a named pipe would wait for a writer for ever. Regular files do not know the flag.
    handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
  } catch (thrown) {
    throw await cannotOpen(file, thrown);
  }
  try {
    const found = await handle.stat();
    if (!found.isFile()) {
      const kind = found.isDirectory() ? 'a folder' : found.isFIFO() ? 'a named pipe' : 'a device or socket';
      throw new SecateurError(
        notRegular,
        `${file}: expected a file; found ${kind}. Give the path of the file itself.`,
        {
          details: { file },
        },
      );
    }
    return { handle, path, sizeBytes: found.size };
  } catch (thrown) {
    await handle.close();
    throw toSecateurError(thrown);
  }
}

/**
 * Fills `target` from `position` on.
 *
 * @returns the bytes read: fewer than asked for only where the file ends
 */
export async function readFully(handle: FileHandle, target: Uint8Array, position: number): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length - done, READ_SIZE_BYTES_MAX);
    const { bytesRead } = await handle.read(target, done, length, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}

/**
 * Reads a whole small text file.
 *
 * @throws `code` when it is larger than `sizeBytesMax` or no regular file; as openSourceFile
 */
export async function readSmallFile(file: string, sizeBytesMax: number, code: ErrorCode): Promise<Uint8Array> {
  const { handle, sizeBytes } = await openSourceFile(file, code);
  try {
    if (sizeBytes > sizeBytesMax) {
      throw new SecateurError(
        code,
        `${file}: expected at most ${sizeBytesMax} bytes; found ${sizeBytes}. This is not the small JSON file that its name says: download it again.`,
        { details: { file, sizeBytes } },
      );
    }
    const bytes = new Uint8Array(sizeBytes);
    return bytes.subarray(0, await readFully(handle, bytes, 0));
  } catch (thrown) {
    throw toSecateurError(thrown);
  } finally {
    await handle.close();
  }
}

async function cannotOpen(file: string, cause: unknown): Promise<SecateurError> {
  const errno = (cause as NodeJS.ErrnoException).code;
  const missing = (found: string): SecateurError =>
    new SecateurError('SourceMissing', `${file}: expected a file; found ${found}.`, { cause, details: { file } });
  if (errno === 'ELOOP') return missing('a loop of links. Make the link point to the file');
  if (errno === 'ENXIO') return missing('a socket. Give the path of the file itself');
  if (errno === 'ENAMETOOLONG') return missing('a name that is too long for the file system. Check the path');
  if (errno !== 'ENOENT' && errno !== 'ENOTDIR') return toSecateurError(cause);
  const link = await lstat(file).then(
    (found) => found.isSymbolicLink(),
    () => false,
  );
  return missing(
    link ? 'a link to a file that is not there. Download the checkpoint again' : 'nothing there. Check the path',
  );
}
