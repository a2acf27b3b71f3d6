/**
 * The SHA-256 of a file while it is being written, and its way to the disk: what is written is read again (it still is in
 * the system's memory), digested and flushed beside the writing of the rest, so that little is left when the last byte is there.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { FileDigest } from '../../shared/checkpoint/source-digest.ts';
import { readFully } from '../../shared/checkpoint/source-file.ts';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';

const CHUNK_BYTES = 1024 * 1024;

export class FollowingDigest {
  private readonly file: string;
  private readonly handle: FileHandle;
  private readonly hash = createHash('sha256');
  private readonly buffer = new Uint8Array(CHUNK_BYTES);
  /** Written, but behind bytes that are not: by where it begins. */
  private readonly apart = new Map<number, number>();
  private writtenEnd = 0;
  private digestedEnd = 0;
  private digesting: Promise<void> = Promise.resolve();
  private flushing: Promise<void> = Promise.resolve();
  private failure: unknown = null;

  private constructor(file: string, handle: FileHandle) {
    this.file = file;
    this.handle = handle;
  }

  /** @param file there already, empty or not */
  static async open(file: string): Promise<FollowingDigest> {
    // A descriptor that only reads cannot be synced everywhere.
    return new FollowingDigest(file, await open(file, 'r+'));
  }

  /** These bytes are as they stay. Ranges come in any order, do not overlap, and are not empty. */
  wrote(offset: number, sizeBytes: number): void {
    this.apart.set(offset, sizeBytes);
    let next = this.apart.get(this.writtenEnd);
    while (next !== undefined) {
      this.apart.delete(this.writtenEnd);
      this.writtenEnd += next;
      next = this.apart.get(this.writtenEnd);
    }
    this.digesting = this.digesting.then(() => this.follow()).catch((thrown) => this.failed(thrown));
    this.flushing = this.flushing.then(() => this.handle.datasync()).catch((thrown) => this.failed(thrown));
  }

  /**
   * Everything is written: the digest, of a file that is on the disk.
   *
   * @throws StorageFailed as a write does; Internal where a range is missing or the file is shorter
   */
  async end(): Promise<FileDigest> {
    await Promise.all([this.digesting, this.flushing]);
    if (this.failure !== null) throw toSecateurError(this.failure);
    const { size } = await this.handle.stat();
    if (this.apart.size > 0 || this.digestedEnd !== size)
      throw new SecateurError('Internal', `${this.file}: ${this.digestedEnd} bytes of ${size} were said to be written`);
    await this.handle.sync();
    return { sha256: this.hash.digest('hex'), sizeBytes: size };
  }

  /** Also where the writing failed; nothing of it goes on afterwards. */
  async close(): Promise<void> {
    await Promise.all([this.digesting, this.flushing]);
    await this.handle.close();
  }

  private async follow(): Promise<void> {
    while (this.digestedEnd < this.writtenEnd && this.failure === null) {
      const chunk = this.buffer.subarray(0, Math.min(CHUNK_BYTES, this.writtenEnd - this.digestedEnd));
      const length = await readFully(this.handle, chunk, this.digestedEnd);
      if (length < chunk.length)
        throw new SecateurError('Internal', `${this.file}: ends at ${this.digestedEnd + length}; more was written`);
      this.hash.update(chunk);
      this.digestedEnd += length;
    }
  }

  private failed(thrown: unknown): void {
    this.failure ??= thrown;
  }
}
