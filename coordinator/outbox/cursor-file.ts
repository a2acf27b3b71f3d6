/**
 * The outbox's cursors on disk: for each job the newest event that the stream acknowledged.
 *
 * It is an aid, never the truth: the stream itself is asked first, and a lost, stale or broken file costs nothing but
 * events that the stream's own limits had already evicted (they are published again). So it is written behind the
 * publishing, at most every `intervalMs`, and a failure to write is reported and tried again, not thrown.
 *
 * Invariants:
 * 1. All entries belong to one stream, known by its name and its creation time; another stream begins with none.
 * 2. The file is always a whole one: written beside, flushed to disk, renamed.
 * 3. One write at a time.
 */

import { mkdir, open, readFile, rename } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import type { Cursor, CursorBook } from './job-lane.ts';
import type { OutboxLogger } from './outbox-logger.ts';

/** Between writes: long enough to cost nothing, short enough that an eviction seldom falls into it. */
const INTERVAL_MS = 500;

const COUNT = z.number().int().nonnegative();
const CONTENT = z.object({
  version: z.literal(1),
  stream: z.string(),
  createdAt: z.string(),
  jobs: z.record(z.string(), z.object({ sequence: COUNT, streamSequence: COUNT })),
});

export interface CursorFileOptions {
  readonly path: string;
  readonly logger?: OutboxLogger | undefined;
  readonly intervalMs?: number;
}

export class CursorFile implements CursorBook {
  readonly #path: string;
  readonly #logger: OutboxLogger | undefined;
  readonly #intervalMs: number;
  readonly #jobs = new Map<string, Cursor>();
  #stream = '';
  #createdAt = '';
  #dirty = false;
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(options: CursorFileOptions) {
    this.#path = options.path;
    this.#logger = options.logger;
    this.#intervalMs = options.intervalMs ?? INTERVAL_MS;
  }

  /** Reads the file where there is a good one. Never rejects: without a file there are no cursors. */
  static async load(options: CursorFileOptions): Promise<CursorFile> {
    const file = new CursorFile(options);
    try {
      const content = CONTENT.parse(JSON.parse(await readFile(options.path, 'utf8')));
      file.#stream = content.stream;
      file.#createdAt = content.createdAt;
      for (const [job, cursor] of Object.entries(content.jobs)) file.#jobs.set(job, cursor);
    } catch (thrown) {
      const error = toSecateurError(thrown);
      if (error.code !== 'SourceMissing') {
        options.logger?.warn(
          { err: error, path: options.path },
          'the event cursor file cannot be read; the stream will be asked instead',
        );
      }
    }
    return file;
  }

  /** Says which stream the entries are about from now on. Entries about another one are dropped (invariant 1). */
  use(stream: string, createdAt: string): void {
    if (stream === this.#stream && createdAt === this.#createdAt) return;
    this.#stream = stream;
    this.#createdAt = createdAt;
    this.#jobs.clear();
    this.#changed();
  }

  get(job: string): Cursor | undefined {
    return this.#jobs.get(job);
  }

  set(job: string, cursor: Cursor): void {
    const known = this.#jobs.get(job);
    if (known?.sequence === cursor.sequence && known.streamSequence === cursor.streamSequence) return;
    this.#jobs.set(job, cursor);
    this.#changed();
  }

  /** Writes what has changed, now. Never rejects. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#writing = this.#writing.then(() => this.#write());
    await this.#writing;
  }

  #changed(): void {
    this.#dirty = true;
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(() => void this.flush(), this.#intervalMs);
    this.#timer.unref();
  }

  async #write(): Promise<void> {
    if (!this.#dirty) return;
    this.#dirty = false;
    const content: z.infer<typeof CONTENT> = {
      version: 1,
      stream: this.#stream,
      createdAt: this.#createdAt,
      jobs: Object.fromEntries(this.#jobs),
    };
    try {
      reach('coordinator.cursor-unwritten');
      await mkdir(dirname(this.#path), { recursive: true });
      const beside = `${this.#path}.${process.pid}.tmp`;
      const handle = await open(beside, 'w');
      try {
        await handle.writeFile(`${JSON.stringify(content)}\n`);
        await handle.datasync();
      } finally {
        await handle.close();
      }
      reach('coordinator.cursor-unrenamed');
      await rename(beside, this.#path);
      reach('coordinator.cursor-written');
    } catch (thrown) {
      this.#dirty = true;
      this.#logger?.warn(
        { err: toSecateurError(thrown), path: this.#path },
        'the event cursor file cannot be written; events go on, and this is tried again with the next event',
      );
    }
  }
}
