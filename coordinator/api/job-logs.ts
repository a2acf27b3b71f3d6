/** The log lines of a job's workers and engines: one file a worker in the state folder, readable after all have gone. */

import { EventEmitter } from 'node:events';
import { createReadStream } from 'node:fs';
import { appendFile, mkdir, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

/** A worker that logs without end fills no disk: past this, its lines for the job are dropped, and the file says so. */
const FILE_BYTES_MAX = 4 * 1024 * 1024;

export interface JobLogLine {
  readonly worker: string;
  readonly source: string;
  readonly level: string;
  readonly atMs: number;
  readonly task: string;
  readonly message: string;
}

export class JobLogs {
  private readonly folderOf: (job: string) => string;
  private readonly sizes = new Map<string, number>();
  private readonly emitter = new EventEmitter().setMaxListeners(0);
  private writing: Promise<void> = Promise.resolve();

  constructor(folderOf: (job: string) => string) {
    this.folderOf = folderOf;
  }

  /** Resolves when the line is written. A log that cannot be written never stops a job: `onError` is told. */
  append(job: string, line: JobLogLine, onError: (thrown: unknown) => void): void {
    this.writing = this.writing.then(() => this.write(job, line)).catch(onError);
    this.emitter.emit(job, line);
  }

  private async write(job: string, line: JobLogLine): Promise<void> {
    const folder = this.folderOf(job);
    const file = join(folder, `${encodeURIComponent(line.worker)}.jsonl`);
    let size = this.sizes.get(file);
    if (size === undefined) {
      await mkdir(folder, { recursive: true });
      size = await stat(file).then(
        (found) => found.size,
        () => 0,
      );
    }
    if (size > FILE_BYTES_MAX) return;
    const text = `${JSON.stringify(line)}\n`;
    const sizeAfter = size + Buffer.byteLength(text);
    this.sizes.set(file, sizeAfter);
    const isFull = sizeAfter > FILE_BYTES_MAX;
    await appendFile(
      file,
      isFull
        ? `${JSON.stringify({ ...line, level: 'warn', message: 'log full: later lines of this worker are dropped' })}\n`
        : text,
    );
  }

  /** Everything appended before this call and nothing after it, merged by time. */
  read(job: string, worker: string): Promise<JobLogLine[]> {
    const reading = this.writing.then(() => this.readFiles(job, worker));
    // Later lines are written after this read, whatever becomes of it.
    this.writing = reading.then(
      () => undefined,
      () => undefined,
    );
    return reading;
  }

  private async readFiles(job: string, worker: string): Promise<JobLogLine[]> {
    const folder = this.folderOf(job);
    const files = await readdir(folder).catch(() => [] as string[]);
    const lines: JobLogLine[] = [];
    for (const file of files) {
      if (worker !== '' && decodeURIComponent(file.replace(/\.jsonl$/, '')) !== worker) continue;
      for await (const text of createInterface({ input: createReadStream(join(folder, file)) })) {
        if (text.endsWith('}')) lines.push(JSON.parse(text) as JobLogLine);
      }
    }
    return lines.sort((a, b) => a.atMs - b.atMs);
  }

  follow(job: string, listener: (line: JobLogLine) => void): () => void {
    this.emitter.on(job, listener);
    return () => this.emitter.off(job, listener);
  }
}
