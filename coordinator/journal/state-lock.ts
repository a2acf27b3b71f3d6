/**
 * One coordinator a state folder. The lock is SQLite's exclusive lock on a file of its own: the kernel gives it back
 * the moment the process ends, however it ends, so a killed coordinator leaves no stale lock behind.
 */
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { placeLost } from './journal.ts';

const SQLITE_BUSY = 5;
const LOCK_FILE = 'lock.sqlite';
const OWNER_FILE = 'owner.json';
/** How long a standby may be late: trying costs one system call or two. */
const WAIT_POLL_MS = 250;
/** A standby says that often whom it waits for. */
const WAIT_TOLD_MS = 30_000;

export class StateLock {
  private readonly stateDirectory: string;
  private readonly database: DatabaseSync;
  private readonly inode: bigint | null;

  private constructor(stateDirectory: string, database: DatabaseSync) {
    this.stateDirectory = stateDirectory;
    this.database = database;
    this.inode = inodeOf(join(stateDirectory, LOCK_FILE));
  }

  /** @throws StateLocked when another process has it, with that process's id. */
  static acquire(stateDirectory: string): StateLock {
    mkdirSync(stateDirectory, { recursive: true });
    const ownerFile = join(stateDirectory, OWNER_FILE);
    const database = new DatabaseSync(join(stateDirectory, LOCK_FILE), { timeout: 0 });
    try {
      database.exec('PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE');
    } catch (cause) {
      database.close();
      if ((cause as { errcode?: number }).errcode !== SQLITE_BUSY) throw toSecateurError(cause);
      const owner = readOwner(ownerFile);
      throw new SecateurError(
        'StateLocked',
        `the state folder ${stateDirectory} is in use by another coordinator${owner}. Stop that one, or give --state another folder.`,
        { cause, details: { stateDirectory } },
      );
    }
    writeFileSync(ownerFile, `${JSON.stringify({ processId: process.pid, since: new Date().toISOString() })}\n`);
    return new StateLock(stateDirectory, database);
  }

  /**
   * Takes the lock when the one who has it ends, however it ends.
   *
   * @param waiting told at once, and then every 30 s, who has it
   */
  static async acquireWhenFree(stateDirectory: string, waiting: (what: string) => void): Promise<StateLock> {
    let toldMs = Number.NEGATIVE_INFINITY;
    for (;;) {
      try {
        return StateLock.acquire(stateDirectory);
      } catch (thrown) {
        if (!(thrown instanceof SecateurError) || thrown.code !== 'StateLocked') throw thrown;
      }
      if (performance.now() - toldMs >= WAIT_TOLD_MS) {
        toldMs = performance.now();
        waiting(
          `waits for the state folder ${stateDirectory}: another coordinator${readOwner(join(stateDirectory, OWNER_FILE))} has it. Takes over when that one ends.`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, WAIT_POLL_MS));
    }
  }

  /** @throws StorageFailed where another coordinator could take a lock of its own: the file was removed or replaced */
  checkInPlace(): void {
    if (inodeOf(join(this.stateDirectory, LOCK_FILE)) !== this.inode) throw placeLost(this.stateDirectory, LOCK_FILE);
  }

  release(): void {
    this.database.close();
  }
}

/** Null where there is no such file. */
function inodeOf(file: string): bigint | null {
  return statSync(file, { bigint: true, throwIfNoEntry: false })?.ino ?? null;
}

function readOwner(file: string): string {
  try {
    const owner = JSON.parse(readFileSync(file, 'utf8')) as { processId?: number; since?: string };
    return ` (process ${owner.processId}, since ${owner.since})`;
  } catch {
    return ''; // The owner is only a hint: without it the message still says what to do.
  }
}
