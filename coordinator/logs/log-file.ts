/**
 * The log of one worker for one job: its first lines and its newest, in three files of bounded size. How it began and
 * its last words are what a log is read for; what is lost of a flood is its middle, and a line says how much.
 *
 * Invariants:
 *  1. Lines go to `<stem>.jsonl` until that is full, then to `<stem>+newer.jsonl`; a full `newer` becomes `older`, in
 *     the place of the `older` before.
 *  2. A mark, the first line of a `newer`, counts the lines that stood in parts before it and are not in the first one:
 *     those are gone when the part that it begins is the oldest one left.
 *  3. A line that a crash cut off is ended before the next is written: a reader skips it, and no other.
 */
import { appendFile, mkdir, open, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** The start of a worker and of its engine, and some hundred tasks. */
const FIRST_BYTES_MAX = 1024 * 1024;
/** Of `newer` and of `older`, each: at least this much of the newest lines is always there. */
const NEWEST_BYTES_MAX = 1.5 * 1024 * 1024;

/** Names that no worker's can be: theirs are encoded, and hold no "+". */
const COORDINATOR_STEM = '+coordinator';
/** Lines of workers that have no log of their own. */
export const OTHERS_STEM = '+others';

export interface LogMark {
  readonly dropped: number;
}

export function partNames(stem: string): readonly [first: string, older: string, newer: string] {
  return [`${stem}.jsonl`, `${stem}+older.jsonl`, `${stem}+newer.jsonl`];
}

/** The stem that a file in a log folder belongs to; null for any other file. */
export function stemOf(name: string): string | null {
  return /^(\+?[^+]+)(?:\+older|\+newer)?\.jsonl$/.exec(name)?.[1] ?? null;
}

/** @param worker empty: the coordinator */
export function stemOfWorker(worker: string): string {
  return worker === '' ? COORDINATOR_STEM : encodeURIComponent(worker);
}

export class LogFile {
  private readonly first: string;
  private readonly older: string;
  private readonly newer: string;
  private isFirst = true;
  private sizeBytes = 0;

  private constructor(folder: string, stem: string) {
    const [first, older, newer] = partNames(stem);
    this.first = join(folder, first);
    this.older = join(folder, older);
    this.newer = join(folder, newer);
  }

  /** Goes on where an earlier process stopped, at whatever point that was. */
  static async open(folder: string, stem: string): Promise<LogFile> {
    await mkdir(folder, { recursive: true });
    const log = new LogFile(folder, stem);
    const [older, newer] = [await sizeOf(log.older), await sizeOf(log.newer)];
    if (newer !== null || older !== null) {
      log.isFirst = false;
      if (newer === null) await log.beginNewer();
    }
    await endLine(log.current);
    log.sizeBytes = (await sizeOf(log.current)) ?? 0;
    return log;
  }

  async append(line: string): Promise<void> {
    const bytes = Buffer.byteLength(line);
    if (this.sizeBytes > 0 && this.sizeBytes + bytes > (this.isFirst ? FIRST_BYTES_MAX : NEWEST_BYTES_MAX)) {
      if (!this.isFirst) await rename(this.newer, this.older);
      this.isFirst = false;
      await this.beginNewer();
    }
    await appendFile(this.current, line);
    this.sizeBytes += bytes;
  }

  private get current(): string {
    return this.isFirst ? this.first : this.newer;
  }

  private async beginNewer(): Promise<void> {
    const before = (await sizeOf(this.older)) === null ? null : await readFile(this.older, 'utf8');
    const mark: LogMark = { dropped: before === null ? 0 : countDropped(before) };
    const line = `${JSON.stringify(mark)}\n`;
    await appendFile(this.newer, line);
    this.sizeBytes = Buffer.byteLength(line);
  }
}

/** Lines of a part and of those before it, by its own mark. */
function countDropped(text: string): number {
  const lines = text.split('\n').filter((line) => line !== '');
  const mark = lines[0] === undefined ? null : parseLogLine(lines[0]);
  return isMark(mark) ? mark.dropped + lines.length - 1 : lines.length;
}

export function isMark(line: unknown): line is LogMark {
  return typeof line === 'object' && line !== null && 'dropped' in line && typeof line.dropped === 'number';
}

/** Null for a line that was cut off. */
export function parseLogLine(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}

async function endLine(file: string): Promise<void> {
  const sizeBytes = await sizeOf(file);
  if (sizeBytes === null || sizeBytes === 0) return;
  const handle = await open(file, 'r+');
  try {
    const { buffer } = await handle.read(Buffer.alloc(1), 0, 1, sizeBytes - 1);
    if (buffer[0] !== 0x0a) await handle.write('\n', sizeBytes);
  } finally {
    await handle.close();
  }
}

/** Null where there is no such file. */
async function sizeOf(file: string): Promise<number | null> {
  try {
    return (await stat(file)).size;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
    throw thrown;
  }
}
