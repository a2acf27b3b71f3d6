/**
 * A file system of a few megabytes that a test can fill and free: a tmpfs, mounted on a new folder and unmounted in the
 * end. Needs Linux and the right to mount.
 */
import { execFile } from 'node:child_process';
import { mkdtempSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const BALLAST = 'ballast';

/** Null where one can be had; else why not. */
export async function whyNoSmallDisk(): Promise<string | null> {
  try {
    await (await SmallDisk.create(1024 * 1024))[Symbol.asyncDispose]();
    return null;
  } catch (thrown) {
    return ((thrown as { stderr?: string }).stderr || (thrown as Error).message).trim();
  }
}

export class SmallDisk implements AsyncDisposable {
  readonly folder: string;

  private constructor(folder: string) {
    this.folder = folder;
  }

  static async create(sizeBytes: number): Promise<SmallDisk> {
    const folder = mkdtempSync(join(tmpdir(), 'secateur-disk-'));
    try {
      await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeBytes}`, 'tmpfs', folder]);
    } catch (thrown) {
      rmdirSync(folder);
      throw thrown;
    }
    return new SmallDisk(folder);
  }

  /** Takes everything but so many bytes (rounded down to pages). */
  fill(leaveBytes: number): void {
    const { bavail, bsize } = statfsSync(this.folder);
    try {
      writeFileSync(join(this.folder, BALLAST), Buffer.alloc(bavail * bsize - Math.floor(leaveBytes / bsize) * bsize));
    } catch (thrown) {
      // Others have written meanwhile: it is as full as can be.
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOSPC') throw thrown;
    }
  }

  free(): void {
    rmSync(join(this.folder, BALLAST));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Lazily: an engine that outlives its worker by a moment may still have a file open there.
    await run('umount', ['-l', this.folder]);
    rmdirSync(this.folder);
  }
}
