/**
 * Staged files, held against the digests that the journal has of them: disks rot, tools copy half of a file, people edit.
 * A file is read once for that in the life of a process, and again whenever its size, its times or its inode say that
 * somebody was there.
 */
import { stat } from 'node:fs/promises';
import { digestFile } from '../checkpoint/source-digest.ts';
import { type ErrorCode, SecateurError, toSecateurError } from '../errors/secateur-error.ts';

/** Remembered at a time; the oldest is forgotten, and read once more. */
const SEEN_MAX = 4096;

export interface KnownFile {
  /** Under staging; what errors call it in `details.staged`. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export class VerifiedFiles {
  /** Path → what it was when it had which digest. */
  private readonly seen = new Map<string, string>();

  /**
   * @throws with `details.staged`, retryable: ChecksumMismatch where the bytes are others; StorageFailed where there are
   * none, or the disk cannot read them. Without: what has nothing to do with this file (rights, too many open files)
   */
  async verify(path: string, known: KnownFile): Promise<void> {
    try {
      const identity = await identityOf(path);
      if (this.seen.get(path) === `${identity} ${known.sha256}`) return;
      const found = await digestFile(path);
      if (found.sha256 !== known.sha256) throw damaged(path, known, found);
      this.remember(path, `${identity} ${known.sha256}`);
    } catch (thrown) {
      throw unreadable(path, known, thrown);
    }
  }

  /** The digest is of bytes that this process has just written there: nobody needs to read them once more. */
  async vouch(path: string, sha256: string): Promise<void> {
    this.remember(path, `${await identityOf(path)} ${sha256}`);
  }

  private remember(path: string, what: string): void {
    this.seen.delete(path);
    this.seen.set(path, what);
    const [oldest] = this.seen.keys();
    if (this.seen.size > SEEN_MAX && oldest !== undefined) this.seen.delete(oldest);
  }
}

/** Other bytes under the same name have, at the least, another status time: nobody can set that one. */
async function identityOf(path: string): Promise<string> {
  const { dev, ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
  return [dev, ino, size, mtimeNs, ctimeNs].join(' ');
}

/** Not there, no regular file, cut short. */
const OF_THE_FILE: ReadonlySet<ErrorCode> = new Set(['SourceMissing', 'CheckpointInvalid', 'SourceChanged']);

/** For whoever has digested the bytes while using them. */
export function damaged(path: string, known: KnownFile, found: { sizeBytes: number; sha256: string }): SecateurError {
  return new SecateurError(
    'ChecksumMismatch',
    `${path}: expected ${known.sizeBytes} bytes with SHA-256 ${known.sha256}; found ${found.sizeBytes} bytes with ${found.sha256}. It was damaged after it was written.`,
    { retryable: true, details: { staged: known.name, path, expected: known.sha256, found: found.sha256 } },
  );
}

/** What to throw where reading a staged file has failed. One that is not there may only be late: that passes. */
export function unreadable(path: string, known: KnownFile, thrown: unknown): SecateurError {
  const cause = toSecateurError(thrown);
  const isOfTheFile = OF_THE_FILE.has(cause.code) || cause.details.errno === 'EIO';
  if (cause.details.staged !== undefined || !isOfTheFile) return cause;
  return new SecateurError(
    'StorageFailed',
    `${path}: expected ${known.sizeBytes} bytes with SHA-256 ${known.sha256}; they cannot be read: ${cause.message}`,
    { retryable: true, cause, details: { staged: known.name, path } },
  );
}
