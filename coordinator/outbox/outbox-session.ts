/**
 * One connection's worth of publishing: runs a lane for every job that has something to publish, until the stream
 * becomes doubtful or the outbox is told to end.
 *
 * Invariants:
 * 1. A job has one lane, and a lane is drained by one call at a time.
 * 2. A refusal that concerns one job makes that job wait; the others go on.
 * 3. Whatever puts the connection or the stream in doubt ends the session; nothing of it is used afterwards.
 */

import { type SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { EventLog } from './event-log.ts';
import type { EventStream } from './event-stream.ts';
import { type CursorBook, JobLane, replaced } from './job-lane.ts';
import { type RetryPolicy, retryDelayMs } from './retry-delay.ts';
import type { Wake } from './wake.ts';

/** Jobs published at the same time: enough to hide the network's latency behind each other. */
const LANES_MAX = 16;

export interface OutboxSessionOptions {
  readonly log: EventLog;
  readonly stream: EventStream;
  readonly createdAt: string;
  readonly cursors: CursorBook;
  readonly wake: Wake;
  readonly retry: RetryPolicy;
  /** How often an idle session looks whether its stream is still the same one. */
  readonly auditMs: number;
  readonly now: () => number;
  readonly random: () => number;
  /** True when the outbox wants to end at once. */
  readonly aborted: () => boolean;
  /** True when the outbox wants to end as soon as everything is published. */
  readonly draining: () => boolean;
  /** A job was refused: the session goes on without it for a while. */
  readonly onRefused: (job: string, error: SecateurError) => void;
  /** A job's events went through, after a refusal or without one. */
  readonly onAccepted: (job: string) => void;
  /** Everything that the log holds is published. */
  readonly onSettled: () => void;
  /** Ends the connection. Must not reject. */
  readonly close: () => Promise<void>;
}

interface Entry {
  readonly lane: JobLane;
  running: boolean;
  refusals: number;
  notBeforeMs: number;
}

export class OutboxSession {
  readonly #options: OutboxSessionOptions;
  readonly #entries = new Map<string, Entry>();
  #running = 0;
  #failure: SecateurError | undefined;

  constructor(options: OutboxSessionOptions) {
    this.#options = options;
  }

  /** Ends the session from outside: the connection is gone. */
  fail(error: SecateurError): void {
    this.#failure ??= error;
    this.#options.wake.ring();
  }

  /** Publishes until ended. Resolves with what ended it; undefined where the outbox asked for it. Never rejects. */
  async run(): Promise<SecateurError | undefined> {
    const { wake, aborted, draining, onSettled, close, now, auditMs } = this.#options;
    let auditAtMs = now() + auditMs;
    while (!this.#ended()) {
      this.#startDue();
      if (this.#running === 0 && this.#allSettled()) {
        onSettled();
        if (draining()) break;
      }
      if (now() >= auditAtMs) {
        auditAtMs = now() + auditMs;
        void this.#audit();
      }
      await wake.wait(Math.min(auditAtMs, this.#nextRetryMs()) - now());
    }
    // Closing answers whatever is still in flight; the next session asks the stream what became of it.
    await close();
    while (this.#running > 0) await wake.wait(auditMs);
    return aborted() ? undefined : this.#failure;
  }

  #ended(): boolean {
    return this.#failure !== undefined || this.#options.aborted();
  }

  #startDue(): void {
    const { log, stream, cursors, createdAt, now } = this.#options;
    for (const job of log.jobs()) {
      if (this.#running >= LANES_MAX) return;
      let entry = this.#entries.get(job);
      if (entry === undefined) {
        const lane = new JobLane({ job, log, stream, cursors, createdAt });
        entry = { lane, running: false, refusals: 0, notBeforeMs: 0 };
        this.#entries.set(job, entry);
      }
      if (entry.running || entry.lane.settled || entry.notBeforeMs > now()) continue;
      void this.#drain(job, entry);
    }
  }

  async #drain(job: string, entry: Entry): Promise<void> {
    const { retry, random, now, wake, onRefused, onAccepted } = this.#options;
    entry.running = true;
    this.#running += 1;
    try {
      await entry.lane.drain(() => this.#ended());
      entry.refusals = 0;
      onAccepted(job);
    } catch (thrown) {
      const error = toSecateurError(thrown);
      if (error.retryable || error.code !== 'Unavailable') {
        this.#failure ??= error;
      } else {
        entry.notBeforeMs = now() + retryDelayMs(retry, entry.refusals, random);
        entry.refusals += 1;
        onRefused(job, error);
      }
    } finally {
      entry.running = false;
      this.#running -= 1;
      wake.ring();
    }
  }

  /** A stream that was deleted while nothing is published would otherwise stay empty until the next event. */
  async #audit(): Promise<void> {
    this.#running += 1;
    try {
      const { createdAt } = await this.#options.stream.state();
      if (createdAt !== this.#options.createdAt) this.#failure ??= replaced(this.#options.createdAt, createdAt);
    } catch (thrown) {
      this.#failure ??= toSecateurError(thrown);
    } finally {
      this.#running -= 1;
      this.#options.wake.ring();
    }
  }

  #allSettled(): boolean {
    return this.#options.log.jobs().every((job) => this.#entries.get(job)?.lane.settled === true);
  }

  #nextRetryMs(): number {
    // A lane that ends rings the bell; until then nothing more can start.
    if (this.#running >= LANES_MAX) return Number.POSITIVE_INFINITY;
    let next = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries.values()) {
      if (!entry.running && !entry.lane.settled) next = Math.min(next, entry.notBeforeMs);
    }
    return next;
  }
}
