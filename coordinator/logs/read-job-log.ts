/**
 * A job's log out of its folder, merged by time: with a coordinator or without one, while lines are written or long
 * after. Memory does not grow with the log: one line a worker.
 */
import { type FileHandle, open, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { isMark, OTHERS_STEM, parseLogLine, partNames, stemOf, stemOfWorker } from './log-file.ts';

export interface JobLogLine {
  /** Empty for what the coordinator itself says. */
  readonly worker: string;
  /** "agent", "engine" or "coordinator". */
  readonly source: string;
  readonly level: string;
  readonly atMs: number;
  readonly task: string;
  readonly message: string;
}

/** As it stands in a file. */
export interface StoredLogLine extends JobLogLine {
  /** Of the process that said it, and which of its lines this is. Absent for the coordinator's own. */
  readonly life?: string;
  readonly sequence?: number;
}

interface OpenPart {
  readonly handle: FileHandle;
  readonly sizeBytes: number;
  readonly inode: number;
}

export interface OpenJobLog {
  /** Empty: everybody's lines. */
  readonly worker: string;
  /** Of each log its parts, oldest first. */
  readonly logs: readonly (readonly OpenPart[])[];
}

/** Takes hold of everything that is there now: what is written, moved or removed later changes nothing. */
export async function openJobLog(folder: string, worker: string): Promise<OpenJobLog> {
  const names = await readdir(folder).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOENT') return [] as string[];
    throw thrown;
  });
  const stems = [...new Set(names.map(stemOf))]
    .filter((stem) => stem !== null)
    .filter((stem) => worker === '' || stem === stemOfWorker(worker) || stem === OTHERS_STEM)
    .sort();
  const logs: OpenPart[][] = [];
  try {
    for (const stem of stems) {
      const parts: OpenPart[] = [];
      logs.push(parts);
      // The newest first: a part that is moved to an older place meanwhile is met again rather than missed.
      for (const name of [...partNames(stem)].reverse()) await addPart(parts, join(folder, name));
      parts.reverse();
    }
  } catch (thrown) {
    await closeJobLog(logs);
    throw thrown;
  }
  return { worker, logs };
}

async function addPart(parts: OpenPart[], file: string): Promise<void> {
  try {
    const handle = await open(file, 'r');
    const { size, ino } = await handle.stat();
    if (parts.some((part) => part.inode === ino)) await handle.close();
    else parts.push({ handle, sizeBytes: size, inode: ino });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw thrown;
  }
}

/** Closes the log when it has been read, or when its reader leaves. */
export async function* mergeJobLog(log: OpenJobLog): AsyncGenerator<JobLogLine> {
  try {
    const sources = log.logs.map((parts) => linesOf(parts, log.worker));
    const heads: (StoredLogLine | null)[] = [];
    for (const source of sources) heads.push(await nextOf(source));
    for (let next = earliest(heads); next !== null; next = earliest(heads)) {
      const { life: _life, sequence: _sequence, ...line } = next.line;
      yield line;
      heads[next.index] = await nextOf(sources[next.index]);
    }
  } finally {
    await closeJobLog(log.logs);
  }
}

/**
 * The newest line of one life of a worker. Its lines are in order, so what it sends again up to this one is there.
 *
 * @returns its number; 0 where there is none
 */
export async function lastSequenceIn(folder: string, worker: string, life: string): Promise<number> {
  const { logs } = await openJobLog(folder, worker);
  try {
    let last = 0;
    for (const parts of logs) last = Math.max(last, await lastSequenceOf(parts, worker, life));
    return last;
  } finally {
    await closeJobLog(logs);
  }
}

async function lastSequenceOf(parts: readonly OpenPart[], worker: string, life: string): Promise<number> {
  for (const part of [...parts].reverse()) {
    let last = 0;
    for await (const line of linesOf([part], worker)) {
      if (line.life === life) last = Math.max(last, line.sequence ?? 0);
    }
    if (last > 0) return last;
  }
  return 0;
}

async function nextOf(source: AsyncGenerator<StoredLogLine, void> | undefined): Promise<StoredLogLine | null> {
  const next = await source?.next();
  return next === undefined || next.done === true ? null : next.value;
}

function earliest(heads: readonly (StoredLogLine | null)[]): { index: number; line: StoredLogLine } | null {
  let found: { index: number; line: StoredLogLine } | null = null;
  for (const [index, line] of heads.entries()) {
    if (line !== null && (found === null || line.atMs < found.line.atMs)) found = { index, line };
  }
  return found;
}

async function closeJobLog(logs: OpenJobLog['logs']): Promise<void> {
  for (const parts of logs) {
    for (const { handle } of parts) await handle.close();
  }
}

/** A worker's lines in the order in which it sent them; in the place of those that are gone, how many they were. */
async function* linesOf(parts: readonly OpenPart[], worker: string): AsyncGenerator<StoredLogLine, void> {
  let dropped = 0;
  let isMarked = false;
  for (const { handle, sizeBytes } of parts) {
    if (sizeBytes === 0) continue;
    const reading = handle.readLines({ start: 0, end: sizeBytes - 1, autoClose: false });
    for await (const text of reading) {
      const line = parseLogLine(text);
      if (isMark(line)) {
        // Only what is missing before the oldest part that is left is missing.
        if (!isMarked) dropped = line.dropped;
        isMarked = true;
      } else if (isLine(line) && (worker === '' || worker === line.worker)) {
        if (dropped > 0) yield { ...line, level: 'warn', message: `(${dropped} lines before this one were dropped)` };
        dropped = 0;
        yield line;
      }
    }
  }
}

function isLine(line: unknown): line is StoredLogLine {
  return typeof line === 'object' && line !== null && 'message' in line && 'atMs' in line;
}
