/** Copies byte ranges of files into one file, in bounded memory, hashing what it writes. */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { writeFully } from '../../shared/storage/write-fully.ts';

/** Large enough for sequential speed, small enough that the coordinator stays small. */
const COPY_CHUNK_BYTES = 4 * 1024 * 1024;

/** What is copied from. Errors of reading it are told apart from those of writing the copy. */
export interface CopySource {
  readonly handle: FileHandle;
  readonly path: string;
  /** Of all that was copied from it. */
  readonly hash: Hash | null;
  readonly onReadError: (thrown: unknown) => unknown;
}

export class HashedFile {
  readonly path: string;
  private readonly handle: FileHandle;
  private readonly hash: Hash = createHash('sha256');
  private readonly buffer = Buffer.allocUnsafe(COPY_CHUNK_BYTES);
  private position = 0;

  private constructor(path: string, handle: FileHandle) {
    this.path = path;
    this.handle = handle;
  }

  /** Begins the file anew: what an earlier attempt left is cut off. */
  static async create(path: string): Promise<HashedFile> {
    return new HashedFile(path, await open(path, 'w'));
  }

  async write(bytes: Uint8Array): Promise<void> {
    this.hash.update(bytes);
    await writeFully(this.handle, bytes, this.position);
    this.position += bytes.byteLength;
  }

  /**
   * Appends `sizeBytes` bytes of `source` from `offset`.
   *
   * @throws SourceChanged when the source ends before that; what reading throws goes through `source.onReadError`
   */
  async copyFrom(source: CopySource, offset: number, sizeBytes: number): Promise<void> {
    const { handle, path, hash, onReadError } = source;
    let done = 0;
    while (done < sizeBytes) {
      const length = Math.min(this.buffer.length, sizeBytes - done);
      const { bytesRead } = await handle.read(this.buffer, 0, length, offset + done).catch((thrown: unknown) => {
        throw onReadError(thrown);
      });
      if (bytesRead === 0) {
        const ended = new SecateurError(
          'SourceChanged',
          `${path}: expected ${sizeBytes} bytes from offset ${offset}; the file ends after ${done} of them. It was cut short while the job ran: restore it, then resume.`,
          { details: { file: path, offset } },
        );
        throw onReadError(ended);
      }
      hash?.update(this.buffer.subarray(0, bytesRead));
      await this.write(this.buffer.subarray(0, bytesRead));
      done += bytesRead;
    }
  }

  /** Makes the file durable. */
  async finish(): Promise<{ sizeBytes: number; sha256: string }> {
    await this.handle.sync();
    await this.handle.close();
    return { sizeBytes: this.position, sha256: this.hash.digest('hex') };
  }

  async abandon(): Promise<void> {
    await this.handle.close();
  }
}
