/**
 * The logs of all jobs while a coordinator runs: what workers, their engines and the coordinator say, in the state
 * folder, readable after all have gone.
 *
 * Invariants:
 *  1. Lines of one worker are written in the order of `append`; a log that cannot be written never stops a job.
 *  2. What waits for the disk is bounded; lines past that, and those that it refuses, are counted, and the count is
 *     written when the disk is back.
 *  3. A reader sees everything appended before its call; a follower what is appended after its own.
 */
import { shortenMessage } from '../../shared/shorten-message.ts';
import { LogFile, OTHERS_STEM, stemOfWorker } from './log-file.ts';
import { LogFollower } from './log-follower.ts';
import { type JobLogLine, lastSequenceIn, mergeJobLog, openJobLog, type StoredLogLine } from './read-job-log.ts';

/** Of messages that wait to be written, over all jobs: a disk that stands still for a while costs lines, not memory. */
const WAITING_CHARACTERS_MAX = 4 * 1024 * 1024;
/** Logs of one job. Names of workers come from outside; one that is new a thousand times shares a log with the others. */
const WORKERS_MAX = 1_000;

export class JobLogs {
  private readonly folderOf: (job: string) => string;
  private readonly files = new Map<string, Map<string, LogFile>>();
  private readonly followers = new Map<string, Set<(line: JobLogLine) => void>>();
  private writing: Promise<unknown> = Promise.resolve();
  private waitingCharacters = 0;
  private readonly skipped = new Map<string, number>();

  constructor(folderOf: (job: string) => string) {
    this.folderOf = folderOf;
  }

  /**
   * @param origin of a worker's line: what it is known by when it comes again
   * @returns when that is known: whether the line stands in the log, as far as this process can tell (no fsync)
   */
  append(
    job: string,
    whole: JobLogLine,
    onError: (thrown: unknown) => void,
    origin: Pick<StoredLogLine, 'life' | 'sequence'> = {},
  ): Promise<boolean> {
    const line = { ...whole, message: shortenMessage(whole.message) };
    for (const tell of this.followers.get(job) ?? []) tell(line);
    if (this.waitingCharacters > WAITING_CHARACTERS_MAX) {
      this.skip(job, 1);
      return Promise.resolve(false);
    }
    this.waitingCharacters += line.message.length;
    const written = this.writing.then(() => this.write(job, line, origin, onError));
    this.writing = written;
    return written;
  }

  /** Resolves when everything that was appended is written. */
  async flush(): Promise<void> {
    await this.writing;
  }

  /** The newest line of one life of a worker that stands in the job's log; 0 where there is none. */
  async lastSequence(job: string, worker: string, life: string): Promise<number> {
    await this.flush();
    return lastSequenceIn(this.folderOf(job), worker, life);
  }

  private skip(job: string, count: number): void {
    this.skipped.set(job, (this.skipped.get(job) ?? 0) + count);
  }

  private async write(
    job: string,
    line: JobLogLine,
    origin: Pick<StoredLogLine, 'life' | 'sequence'>,
    onError: (thrown: unknown) => void,
  ): Promise<boolean> {
    try {
      const skipped = this.skipped.get(job) ?? 0;
      if (skipped > 0) {
        const message = `(${skipped} lines were not written: the disk of the state folder was full or too slow)`;
        await this.writeTo(job, { ...line, worker: '', source: 'coordinator', level: 'warn', message });
        this.skip(job, -skipped);
      }
      await this.writeTo(job, { ...line, ...origin });
      return true;
    } catch (thrown) {
      this.skip(job, 1);
      onError(thrown);
      return false;
    } finally {
      this.waitingCharacters -= line.message.length;
    }
  }

  private async writeTo(job: string, line: StoredLogLine): Promise<void> {
    const ofJob = this.files.get(job) ?? new Map<string, LogFile>();
    this.files.set(job, ofJob);
    const wantedStem = stemOfWorker(line.worker);
    const stem = ofJob.has(wantedStem) || ofJob.size < WORKERS_MAX ? wantedStem : OTHERS_STEM;
    try {
      const file = ofJob.get(stem) ?? (await LogFile.open(this.folderOf(job), stem));
      ofJob.set(stem, file);
      await file.append(`${JSON.stringify(line)}\n`);
    } catch (thrown) {
      // Perhaps half a line was written: opened again, the file begins with a new one.
      ofJob.delete(stem);
      throw thrown;
    }
  }

  /** Everything appended before this call, merged by time. @param worker empty for all */
  async *read(job: string, worker: string): AsyncGenerator<JobLogLine> {
    const opening = this.writing.then(() => openJobLog(this.folderOf(job), worker));
    // Later lines are written when the log is open, whatever becomes of it.
    this.writing = opening.then(
      () => undefined,
      () => undefined,
    );
    yield* mergeJobLog(await opening);
  }

  /** @param worker empty for all. @returns what is appended from now on, and what ends the following */
  follow(job: string, worker: string): { readonly follower: LogFollower; readonly end: () => void } {
    const follower = new LogFollower();
    const tell = (line: JobLogLine): void => {
      if (worker === '' || worker === line.worker) follower.add(line);
    };
    const ofJob = this.followers.get(job) ?? new Set();
    this.followers.set(job, ofJob.add(tell));
    return {
      follower,
      end: () => {
        ofJob.delete(tell);
        if (ofJob.size === 0) this.followers.delete(job);
      },
    };
  }
}
