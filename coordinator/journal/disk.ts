/**
 * The operations on files that the journal and the event files are made of; everything that must survive a crash goes
 * through here, so that a test or a simulation can give a disk of its own that fails, fills up and loses power.
 *
 * What a disk promises, and nothing more:
 *  1. Bytes survive a power cut once `datasync` has resolved after they were written. Until then any part of them may.
 *  2. A name that was created, renamed or removed survives once `syncDirectory` of its folder has resolved.
 *  3. After a `datasync` that failed nobody knows what is on the disk, and a second one proves nothing.
 */
import { constants, type FileHandle, mkdir, open, opendir, rename, rm, stat } from 'node:fs/promises';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { writeFully } from '../../shared/storage/write-fully.ts';

export interface DiskFile {
  sizeBytes(): Promise<number>;
  /** What there is from `position` on, at most `length` bytes; fewer only at the end of the file. */
  read(position: number, length: number): Promise<Buffer>;
  /** All of `bytes`; a failure may leave any part of them. */
  write(bytes: Uint8Array, position: number): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  datasync(): Promise<void>;
  /** False where the name is gone or leads to another file; a disk that cannot tell gives true. */
  isAt(path: string): Promise<boolean>;
  close(): Promise<void>;
}

/** `readWrite` creates the file where there is none. */
export type OpenMode = 'read' | 'readWrite';

export interface Disk {
  /** With its parents; nothing happens where it exists. */
  makeDirectory(path: string): Promise<void>;
  /** Whether a folder has nothing in it, or is not there. */
  isEmpty(path: string): Promise<boolean>;
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  /** Takes the place of what stands at `to`, in one step. */
  rename(from: string, to: string): Promise<void>;
  /** Nothing happens where it does not exist. */
  remove(path: string): Promise<void>;
  syncDirectory(path: string): Promise<void>;
}

/** Only this user may read what jobs are about. */
const FILE_MODE = 0o600;

export const SYSTEM_DISK: Disk = {
  makeDirectory: async (path) => {
    await mkdir(path, { recursive: true });
  },
  isEmpty: async (path) => {
    try {
      await using folder = await opendir(path);
      return (await folder.read()) === null;
    } catch (thrown) {
      if (isMissing(thrown)) return true;
      throw thrown;
    }
  },
  open: async (path, mode) =>
    new SystemFile(
      await open(path, mode === 'read' ? constants.O_RDONLY : constants.O_RDWR | constants.O_CREAT, FILE_MODE),
    ),
  rename,
  remove: (path) => rm(path, { force: true }),
  syncDirectory: fsyncDirectory,
};

class SystemFile implements DiskFile {
  private readonly handle: FileHandle;

  constructor(handle: FileHandle) {
    this.handle = handle;
  }

  async sizeBytes(): Promise<number> {
    return (await this.handle.stat()).size;
  }

  async read(position: number, length: number): Promise<Buffer> {
    const bytes = Buffer.allocUnsafe(length);
    let done = 0;
    while (done < length) {
      const { bytesRead } = await this.handle.read(bytes, done, length - done, position + done);
      if (bytesRead === 0) break;
      done += bytesRead;
    }
    return bytes.subarray(0, done);
  }

  write(bytes: Uint8Array, position: number): Promise<void> {
    return writeFully(this.handle, bytes, position);
  }

  truncate(sizeBytes: number): Promise<void> {
    return this.handle.truncate(sizeBytes);
  }

  datasync(): Promise<void> {
    return this.handle.datasync();
  }

  async isAt(path: string): Promise<boolean> {
    try {
      const [mine, there] = await Promise.all([this.handle.stat({ bigint: true }), stat(path, { bigint: true })]);
      return mine.ino === there.ino && mine.dev === there.dev;
    } catch (thrown) {
      return !isMissing(thrown);
    }
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

function isMissing(thrown: unknown): boolean {
  const { code } = thrown as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** A failed operation on a file of the state folder: which file, what was to be done, what the system said, what to do. */
export function diskError(path: string, what: string, thrown: unknown): SecateurError {
  if (thrown instanceof SecateurError && (thrown.code === 'JournalCorrupt' || thrown.code === 'Internal'))
    return thrown;
  const { code, details, message } = toSecateurError(thrown);
  const reason = thrown instanceof Error ? thrown.message : message;
  const todo =
    code === 'StorageFull'
      ? 'Free space on that file system'
      : 'Check the disk, its file system and the rights on the folder';
  return new SecateurError(
    code === 'StorageFull' ? code : 'StorageFailed',
    `${path}: cannot ${what}: ${reason}. ${todo}, then start the coordinator again with the same state folder: it goes on from what the journal holds, nothing that was told is lost.`,
    { cause: thrown, details: { ...details, path } },
  );
}
