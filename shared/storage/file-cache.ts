/**
 * Local copies of remote files, in one folder, bounded in bytes.
 *
 * Invariants:
 *  1. A file under its final name is whole and checked; one that is being filled has a temporary name.
 *  2. `usedBytes` counts every file, those being filled included; it is at most `sizeBytesMax`.
 *  3. A pinned file is never removed. Others go in the order of their last use.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant, SecateurError, toSecateurError } from '../errors/secateur-error.ts';

interface Entry {
  readonly path: string;
  readonly sizeBytes: number;
  pins: number;
}

/** Tells the cache, before they are written, how many more bytes the file will have. */
export type Grow = (sizeBytes: number) => Promise<void>;

export class FileCache {
  private readonly directory: string;
  private readonly sizeBytesMax: number;
  /** In the order of last use. */
  private readonly entries = new Map<string, Entry>();
  private readonly filling = new Map<string, Promise<void>>();
  private usedBytes = 0;

  private constructor(directory: string, sizeBytesMax: number) {
    this.directory = directory;
    this.sizeBytesMax = sizeBytesMax;
  }

  /** Begins with an empty folder: whatever a process before left there, nobody can vouch for. */
  static async open(directory: string, sizeBytesMax: number): Promise<FileCache> {
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true });
    return new FileCache(directory, sizeBytesMax);
  }

  /** A path in the cache's folder that nothing stands at, for a file that `adopt` may later take over. */
  temporaryPath(): string {
    return join(this.directory, `.tmp-${randomBytes(8).toString('hex')}`);
  }

  /** Pins the file of this key and gives its path; null where there is none. */
  pin(key: string): string | null {
    const entry = this.entries.get(key);
    if (entry === undefined) return null;
    entry.pins += 1;
    this.entries.delete(key);
    this.entries.set(key, entry);
    return entry.path;
  }

  unpin(key: string): void {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    invariant(entry.pins > 0, `the cached file ${key} is pinned`);
    entry.pins -= 1;
  }

  /** Forgets a file that turned out damaged, pinned or not: whoever has it open keeps what it has. */
  async discard(key: string): Promise<void> {
    const entry = this.entries.get(key);
    if (entry === undefined) return;
    this.entries.delete(key);
    this.usedBytes -= entry.sizeBytes;
    await rm(entry.path, { force: true });
  }

  /**
   * The file of this key, pinned; `fill` makes it where there is none. Two callers at once share one file.
   *
   * @throws whatever `fill` throws, then nothing is kept; LimitExceeded, StorageFull
   */
  async obtain(key: string, fill: (path: string, grow: Grow) => Promise<void>): Promise<string> {
    for (;;) {
      const path = this.pin(key);
      if (path !== null) return path;
      const under = this.filling.get(key);
      // Whoever waits tries for itself when the other has failed.
      if (under !== undefined) await under.catch(() => undefined);
      else await this.fill(key, fill);
    }
  }

  /** Takes over a finished file that stands at a temporary path of this cache; where there is no room, removes it. */
  async adopt(key: string, temporary: string, sizeBytes: number): Promise<void> {
    if (this.entries.has(key) || !(await this.makeRoom(sizeBytes))) {
      await rm(temporary, { force: true });
      return;
    }
    this.usedBytes += sizeBytes;
    await this.place(key, temporary, sizeBytes);
  }

  private async fill(key: string, fill: (path: string, grow: Grow) => Promise<void>): Promise<void> {
    const temporary = this.temporaryPath();
    let sizeBytes = 0;
    const grow = async (moreBytes: number): Promise<void> => {
      if (!(await this.makeRoom(moreBytes))) throw this.full(key, moreBytes);
      this.usedBytes += moreBytes;
      sizeBytes += moreBytes;
    };
    const work = (async () => {
      try {
        await fill(temporary, grow);
        await this.place(key, temporary, sizeBytes);
      } catch (thrown) {
        this.usedBytes -= sizeBytes;
        await rm(temporary, { force: true });
        throw toSecateurError(thrown);
      }
    })();
    this.filling.set(key, work);
    try {
      await work;
    } finally {
      this.filling.delete(key);
    }
  }

  private async place(key: string, temporary: string, sizeBytes: number): Promise<void> {
    const path = join(this.directory, `${randomBytes(8).toString('hex')}.bin`);
    await rename(temporary, path);
    this.entries.set(key, { path, sizeBytes, pins: 0 });
  }

  /** @returns false where what is pinned, or being filled, leaves too little */
  private async makeRoom(sizeBytes: number): Promise<boolean> {
    for (const [key, entry] of this.entries) {
      if (this.usedBytes + sizeBytes <= this.sizeBytesMax) break;
      if (entry.pins > 0) continue;
      this.entries.delete(key);
      this.usedBytes -= entry.sizeBytes;
      await rm(entry.path, { force: true });
    }
    return this.usedBytes + sizeBytes <= this.sizeBytesMax;
  }

  private full(key: string, sizeBytes: number): SecateurError {
    return new SecateurError(
      'LimitExceeded',
      `the cache ${this.directory}: ${key} needs ${sizeBytes} more bytes; ${this.usedBytes} of at most ${this.sizeBytesMax} are in use by the running task. Allow a bigger cache, or let the worker see the job's folders.`,
      { details: { key, sizeBytes, usedBytes: this.usedBytes, sizeBytesMax: this.sizeBytesMax } },
    );
  }
}
