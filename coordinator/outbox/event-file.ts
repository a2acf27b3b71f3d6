/**
 * The older events of one job in a file of their own: JSON lines with checksums, in the order of their sequence.
 *
 * Invariants:
 *  1. Only the first `sizeBytes` bytes count: the events 1 … `sequence`. What follows was left by an earlier process whose
 *     journal still has those events, or by a write that failed; it is cut off before the next write.
 *  2. `sizeBytes` and `sequence` grow together, after a whole write. What was counted never changes.
 *  3. Durable is what was counted when `sync` was called and resolved.
 *  4. At most one `write` or `sync` at a time; reads at any time.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import { readLines } from '../journal/checked-lines.ts';
import { type Disk, type DiskFile, diskError } from '../journal/disk.ts';

/** Every so many events the file keeps a position: what a read has to skip at most. */
const STRIDE = 128;

export interface EventFileOptions {
  readonly disk: Disk;
  readonly path: string;
  /** The folders whose names lead to the file, the innermost first; made where they are missing. */
  readonly folders: readonly string[];
  readonly sequence: number;
  readonly sizeBytes: number;
}

export class EventFile {
  readonly #disk: Disk;
  readonly #path: string;
  readonly #folders: readonly string[];
  /** Where event 1 + k · STRIDE begins, by k, as far as known: the rest is found by reading. */
  readonly #positions = new Map<number, number>([[0, 0]]);
  #sequence: number;
  #sizeBytes: number;
  #durableBytes: number;
  #isCut = false;

  constructor(options: EventFileOptions) {
    this.#disk = options.disk;
    this.#path = options.path;
    this.#folders = options.folders;
    this.#sequence = options.sequence;
    this.#sizeBytes = options.sizeBytes;
    this.#durableBytes = options.sizeBytes;
  }

  /** The newest event in the file; 0 for none. */
  get sequence(): number {
    return this.#sequence;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** @throws JournalCorrupt where the file lacks what it is said to hold */
  async check(): Promise<void> {
    if (this.#sizeBytes === 0) return;
    const found = await this.#withFile('read', (file) => file.sizeBytes()).catch((thrown: unknown) => {
      if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return 0;
      throw diskError(this.#path, 'look at the file', thrown);
    });
    if (found < this.#sizeBytes) {
      throw this.#corrupt(`expected ${this.#sizeBytes} bytes (events 1 to ${this.#sequence}); found ${found}`);
    }
  }

  /** Adds the events that follow, given as lines. */
  async write(lines: readonly Buffer[]): Promise<void> {
    const bytes = Buffer.concat(lines);
    try {
      if (!this.#isCut) await this.#disk.makeDirectory(this.#folders[0] as string);
      await this.#withFile('readWrite', async (file) => {
        if (!this.#isCut) await file.truncate(this.#sizeBytes);
        this.#isCut = true;
        await file.write(bytes, this.#sizeBytes);
      });
    } catch (thrown) {
      this.#isCut = false;
      throw diskError(this.#path, `append ${bytes.length} bytes of events`, thrown);
    }
    let position = this.#sizeBytes;
    for (const line of lines) {
      this.#remember(this.#sequence + 1, position);
      this.#sequence += 1;
      position += line.length;
    }
    this.#sizeBytes = position;
  }

  /** Makes everything that was written durable, the file's name included. */
  async sync(): Promise<void> {
    const sizeBytes = this.#sizeBytes;
    if (sizeBytes === this.#durableBytes) return;
    try {
      await this.#withFile('readWrite', (file) => file.datasync());
      if (this.#durableBytes === 0) for (const folder of this.#folders) await this.#disk.syncDirectory(folder);
    } catch (thrown) {
      // Not StorageFull, whatever the system says: after a failed fdatasync nobody may go on as if it had not happened.
      const { message, details } = diskError(this.#path, 'make events durable', thrown);
      throw new SecateurError('StorageFailed', message, { details, cause: thrown });
    }
    this.#durableBytes = sizeBytes;
  }

  /**
   * The events `first` … `last`, all of which the file must hold.
   *
   * @throws JournalCorrupt, StorageFailed
   */
  async read(first: number, last: number): Promise<JobEvent[]> {
    const events: JobEvent[] = [];
    const start = this.#nearest(first);
    let sequence = start.sequence;
    try {
      await this.#withFile('read', async (file) => {
        for await (const { json, position } of readLines(file, start.position, this.#sizeBytes)) {
          if (json === null) throw this.#corrupt(`the checksum of event ${sequence} does not fit`);
          const event = JSON.parse(json) as JobEvent;
          if (event.sequence !== sequence) throw this.#corrupt(`expected event ${sequence}, found ${event.sequence}`);
          this.#remember(sequence, position);
          if (sequence >= first) events.push(event);
          if (sequence === last) return;
          sequence += 1;
        }
      });
    } catch (thrown) {
      throw diskError(this.#path, 'read events', thrown);
    }
    if (events.at(-1)?.sequence !== last) throw this.#corrupt(`it ends before event ${last}`);
    return events;
  }

  #remember(sequence: number, position: number): void {
    const index = sequence - 1;
    if (index % STRIDE === 0) this.#positions.set(index / STRIDE, position);
  }

  #nearest(sequence: number): { sequence: number; position: number } {
    for (let k = Math.floor((sequence - 1) / STRIDE); ; k--) {
      const position = this.#positions.get(k);
      if (position !== undefined) return { sequence: 1 + k * STRIDE, position };
    }
  }

  async #withFile<T>(mode: 'read' | 'readWrite', use: (file: DiskFile) => Promise<T>): Promise<T> {
    const file = await this.#disk.open(this.#path, mode);
    try {
      return await use(file);
    } finally {
      await file.close();
    }
  }

  #corrupt(what: string): SecateurError {
    return new SecateurError(
      'JournalCorrupt',
      `${this.#path}: ${what}. Restore the file from a backup, or move the state folder ${this.#folders.at(-1)} away and submit the jobs again.`,
      { details: { file: this.#path } },
    );
  }
}
