/**
 * The coordinator's events, one sequence a job: the newest in memory, the older ones in a file of each job.
 *
 * It is what every way of watching reads from: the NATS outbox, the Watch call of the API. Consumers pull and hold
 * nothing but a cursor (job, sequence), so a slow or absent consumer costs the coordinator nothing.
 *
 * What is only in memory is derived again from the journal at the next start. So the files need not be durable, and
 * count for nothing, until a checkpoint of the journal says how far they go: `makeDurable`, then `extents`.
 *
 * Invariants:
 * 1. A job's events are numbered 1, 2, 3, …; the newest stand in memory, all before them in the job's file.
 * 2. An event never changes and never goes away while the job is listed.
 * 3. A job keeps the namespace of its first event.
 * 4. A listener is told after the event can be read, and whatever it throws never reaches the coordinator.
 * 5. `spill`, `makeDurable` and `restore` are called one at a time, by the loop; `append` and `read` at any time.
 */

import { join } from 'node:path';
import { invariant, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { assertPublishable } from '../../shared/events/event-rules.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import { encodeLine } from '../journal/checked-lines.ts';
import type { EventExtent } from '../journal/checkpoint.ts';
import type { Disk } from '../journal/disk.ts';
import { jobFolder, jobsFolder } from '../state-folder.ts';
import { EventFile } from './event-file.ts';

const FILE_NAME = 'events.jsonl';

/** Lines of all jobs in memory before they go to the files: hours of a busy job, and nothing beside a tensor. */
const WINDOW_BYTES_MAX = 4 * 1024 * 1024;

/** Written to a file at a time: a job's part of the window is not copied as one piece. */
const SPILL_LINES = 1_024;

export type EventListener = (event: JobEvent) => void;
export type Unsubscribe = () => void;

export interface EventLogOptions {
  readonly disk: Disk;
  readonly stateDirectory: string;
  readonly windowBytesMax?: number;
}

interface Recent {
  readonly event: JobEvent;
  readonly line: Buffer;
}

interface JobEvents {
  readonly namespace: string;
  readonly file: EventFile;
  /** Those that follow the file's, in order; for a moment, after they were written, also the file's last. */
  recent: Recent[];
}

export class EventLog {
  readonly #disk: Disk;
  readonly #stateDirectory: string;
  readonly #windowBytesMax: number;
  readonly #jobs = new Map<string, JobEvents>();
  readonly #listeners = new Set<EventListener>();
  #windowBytes = 0;

  constructor(options: EventLogOptions) {
    this.#disk = options.disk;
    this.#stateDirectory = options.stateDirectory;
    this.#windowBytesMax = options.windowBytesMax ?? WINDOW_BYTES_MAX;
  }

  /**
   * Begins with what a checkpoint says is in the files; the events after it follow by `append`.
   *
   * @throws JournalCorrupt where a file is missing or shorter than that
   */
  async restore(extents: readonly EventExtent[]): Promise<void> {
    invariant(this.#jobs.size === 0, 'an event log is restored before anything is appended');
    for (const { job, namespace, sequence, sizeBytes } of extents) {
      const entry = { namespace, file: this.#fileOf(job, sequence, sizeBytes), recent: [] };
      await entry.file.check();
      this.#jobs.set(job, entry);
    }
  }

  /**
   * Adds the next event of its job. Call it only with what the journal already holds.
   * Throws `Internal` where the sequence has a gap or a repetition, or the event could not be published.
   */
  append(event: JobEvent): void {
    assertPublishable(event);
    const known = this.#jobs.get(event.job);
    const expected = this.lastSequence(event.job) + 1;
    invariant(
      event.sequence === expected,
      `event ${event.entity}.${event.verb} of job ${event.job} has sequence ${event.sequence}, expected ${expected}`,
    );
    const namespace = known?.namespace ?? event.namespace;
    invariant(
      event.namespace === namespace,
      `event ${event.job}:${event.sequence} is in namespace ${event.namespace}, its job in ${namespace}`,
    );
    const entry = known ?? { namespace, file: this.#fileOf(event.job, 0, 0), recent: [] };
    const line = encodeLine(JSON.stringify(event));
    entry.recent.push({ event, line });
    this.#windowBytes += line.length;
    if (known === undefined) this.#jobs.set(event.job, entry);
    this.#tell(event);
  }

  /**
   * At most `limit` events of a job with a sequence above `afterSequence`, in order, and at least one where there is one;
   * none for an unknown job.
   *
   * @throws JournalCorrupt, StorageFailed (the job's file)
   */
  async read(job: string, afterSequence: number, limit: number): Promise<readonly JobEvent[]> {
    invariant(
      Number.isSafeInteger(afterSequence) && afterSequence >= 0,
      `a cursor is a sequence, not ${afterSequence}`,
    );
    invariant(Number.isSafeInteger(limit) && limit >= 1, `a limit is a count from 1, not ${limit}`);
    const entry = this.#jobs.get(job);
    if (entry === undefined) return [];
    const last = Math.min(afterSequence + limit, lastOf(entry));
    const found: JobEvent[] = [];
    for (let next = afterSequence + 1; next <= last; next = afterSequence + found.length + 1) {
      // While the file is read, what was in memory may move to the file: so the place is looked at again each time.
      const inMemory = entry.recent[0]?.event.sequence ?? Number.POSITIVE_INFINITY;
      if (next < inMemory) found.push(...(await entry.file.read(next, Math.min(last, inMemory - 1))));
      else for (const { event } of entry.recent.slice(next - inMemory, last + 1 - inMemory)) found.push(event);
    }
    return found;
  }

  /** The ids of all jobs, in the order of their first events. */
  jobs(): readonly string[] {
    return [...this.#jobs.keys()];
  }

  namespaceOf(job: string): string | undefined {
    return this.#jobs.get(job)?.namespace;
  }

  /** The sequence of a job's newest event; 0 for an unknown job. */
  lastSequence(job: string): number {
    const entry = this.#jobs.get(job);
    return entry === undefined ? 0 : lastOf(entry);
  }

  get isWindowFull(): boolean {
    return this.#windowBytes > this.#windowBytesMax;
  }

  /** Writes what is in memory to the files, so that memory is free for what comes. */
  async spill(): Promise<void> {
    for (const entry of this.#jobs.values()) {
      while (entry.recent.length > 0) {
        const lines = entry.recent.slice(0, SPILL_LINES).map((recent) => recent.line);
        await entry.file.write(lines);
        entry.recent = entry.recent.slice(lines.length);
        this.#windowBytes -= lines.reduce((sum, line) => sum + line.length, 0);
      }
    }
  }

  /** Every event appended so far survives without the journal when this resolves. */
  async makeDurable(): Promise<void> {
    await this.spill();
    for (const { file } of this.#jobs.values()) await file.sync();
  }

  /** How far the files go: what `restore` takes. */
  extents(): EventExtent[] {
    return [...this.#jobs].map(([job, { namespace, file }]) => ({
      job,
      namespace,
      sequence: file.sequence,
      sizeBytes: file.sizeBytes,
    }));
  }

  /** Has `listener` called after each append, synchronously: it should note that there is more, and return. */
  subscribe(listener: EventListener): Unsubscribe {
    // Wrapped, so that one function subscribed twice is two subscriptions, each with its own end.
    const entry: EventListener = (event) => listener(event);
    this.#listeners.add(entry);
    return () => {
      this.#listeners.delete(entry);
    };
  }

  #fileOf(job: string, sequence: number, sizeBytes: number): EventFile {
    const folder = jobFolder(this.#stateDirectory, job);
    const folders = [folder, jobsFolder(this.#stateDirectory), this.#stateDirectory];
    return new EventFile({ disk: this.#disk, path: join(folder, FILE_NAME), folders, sequence, sizeBytes });
  }

  #tell(event: JobEvent): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (thrown) {
        // Invariant 4. Not silent either: Node prints a process warning with its stack.
        process.emitWarning(toSecateurError(thrown));
      }
    }
  }
}

function lastOf(entry: JobEvents): number {
  return entry.recent.at(-1)?.event.sequence ?? entry.file.sequence;
}
