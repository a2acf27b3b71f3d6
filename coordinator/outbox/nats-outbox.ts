/**
 * The outbox: tells NATS JetStream what the coordinator's event log holds, for as long as the coordinator lives.
 *
 * It pulls. Nothing in the coordinator waits for it, calls it or hears of its failures, except through `status()`.
 * While NATS is away it holds cursors and nothing else; the log (and behind it the state folder) holds the events.
 *
 * One loop: connect → session → wait → connect → … A session is one connection (outbox-session.ts); delivery is made
 * exact per job (job-lane.ts).
 *
 * Invariants:
 * 1. At most one session, and so at most one connection, at a time.
 * 2. The loop ends only by `stop`.
 * 3. Start it after the journal has been replayed into the log: the stream may not be ahead of the log.
 */

import type { TlsOptions } from '@nats-io/transport-node';
import { type SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { CursorFile } from './cursor-file.ts';
import type { EventLog, Unsubscribe } from './event-log.ts';
import { NatsStream } from './nats-stream.ts';
import type { OutboxLogger } from './outbox-logger.ts';
import { OutboxSession } from './outbox-session.ts';
import { OUTBOX_RETRY, type RetryPolicy, retryDelayMs } from './retry-delay.ts';
import { Wake } from './wake.ts';

const STREAM = 'SECATEUR';
const AUDIT_MS = 30_000;
const STOP_DEADLINE_MS = 5_000;
/** Closing a healthy connection takes milliseconds; a dead one is left to the operating system. */
const CLOSE_GRACE_MS = 500;

export interface NatsOutboxOptions {
  /** `nats://host:port`, or several of one cluster. */
  readonly servers: string | readonly string[];
  readonly log: EventLog;
  /** Where the cursors are kept; its folder is made. One file belongs to one outbox. */
  readonly cursorFile: string;
  readonly logger?: OutboxLogger;
  /** Name of the JetStream stream; created if absent, used as it is if present. Default SECATEUR. */
  readonly stream?: string;
  /** Replicas of the stream if it has to be created. Default 1. */
  readonly replicas?: number;
  /** A NATS credentials file (JWT and seed). */
  readonly credentialsFile?: string;
  readonly tls?: TlsOptions;
  readonly retry?: RetryPolicy;
  /** How often an idle outbox looks whether the stream is still the same. Default 30 s. */
  readonly auditMs?: number;
  /** Milliseconds of any clock that does not run backwards; for tests. */
  readonly now?: () => number;
  /** In [0, 1); for tests. */
  readonly random?: () => number;
}

export interface OutboxStatus {
  readonly connected: boolean;
  /** What is wrong now: the code, and in its message what to do. Undefined where nothing is. */
  readonly lastError: SecateurError | undefined;
  /** Events in the log that the stream has not acknowledged yet. */
  readonly pending: number;
}

export class NatsOutbox {
  readonly #options: NatsOutboxOptions;
  readonly #cursors: CursorFile;
  readonly #wake = new Wake();
  readonly #stopBell = new Wake();
  readonly #unsubscribe: Unsubscribe;
  readonly #loop: Promise<void>;
  readonly #now: () => number;
  readonly #random: () => number;
  readonly #refused = new Map<string, SecateurError>();
  #connected = false;
  #lastError: SecateurError | undefined;
  #draining = false;
  #aborted = false;

  private constructor(options: NatsOutboxOptions, cursors: CursorFile) {
    this.#options = options;
    this.#cursors = cursors;
    this.#now = options.now ?? (() => performance.now());
    this.#random = options.random ?? Math.random;
    this.#unsubscribe = options.log.subscribe(() => this.#wake.ring());
    this.#loop = this.#run();
  }

  /** Starts publishing. Never rejects, and does not wait for NATS: look at `status()`. */
  static async start(options: NatsOutboxOptions): Promise<NatsOutbox> {
    const cursors = await CursorFile.load({ path: options.cursorFile, logger: options.logger });
    return new NatsOutbox(options, cursors);
  }

  status(): OutboxStatus {
    const { log } = this.#options;
    let pending = 0;
    for (const job of log.jobs()) {
      pending += Math.max(0, log.lastSequence(job) - (this.#cursors.get(job)?.sequence ?? 0));
    }
    const lastError = this.#lastError ?? this.#refused.values().next().value;
    return { connected: this.#connected, lastError, pending };
  }

  /**
   * Publishes what is left and ends: waits at most `deadlineMs` for that, and makes one last attempt where NATS is
   * away. What could not be sent is sent by the next outbox on the same log. Never rejects; call it once or often.
   */
  async stop(deadlineMs: number = STOP_DEADLINE_MS): Promise<void> {
    this.#draining = true;
    this.#unsubscribe();
    this.#ringAll();
    await this.#ended(deadlineMs);
    this.#aborted = true;
    this.#ringAll();
    // A connection attempt that hangs is not waited for; when it ends it finds `#aborted` and closes.
    await this.#ended(CLOSE_GRACE_MS);
    await this.#cursors.flush();
  }

  /** Waits for the loop to end, at most so long. */
  async #ended(atMostMs: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const deadline = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, atMostMs);
    });
    await Promise.race([this.#loop, deadline]);
    clearTimeout(timer);
  }

  async #run(): Promise<void> {
    let failures = 0;
    while (!this.#aborted) {
      const lastAttempt = this.#draining;
      const { error, settled } = await this.#connectAndPublish();
      this.#connected = false;
      if (error === undefined) break;
      this.#report(error);
      if (lastAttempt) break;
      if (settled) failures = 0;
      const waitMs = retryDelayMs(this.#options.retry ?? OUTBOX_RETRY, failures, this.#random);
      failures += 1;
      if (!this.#draining) await this.#stopBell.wait(waitMs);
    }
    await this.#cursors.flush();
  }

  /** One connection, from its beginning to its end. Never rejects. */
  async #connectAndPublish(): Promise<{ error: SecateurError | undefined; settled: boolean }> {
    const name = this.#options.stream ?? STREAM;
    let settled = false;
    try {
      const stream = await NatsStream.open({ ...this.#options, stream: name, replicas: this.#options.replicas ?? 1 });
      this.#cursors.use(name, stream.createdAt);
      this.#connected = true;
      this.#lastError = undefined;
      this.#refused.clear();
      this.#options.logger?.info({ stream: name, pending: this.status().pending }, 'events are published to NATS');
      const session = this.#session(stream, () => {
        settled = true;
      });
      void stream.closed().then((reason) => session.fail(reason));
      return { error: await session.run(), settled };
    } catch (thrown) {
      return { error: toSecateurError(thrown), settled };
    }
  }

  #session(stream: NatsStream, onSettled: () => void): OutboxSession {
    return new OutboxSession({
      log: this.#options.log,
      stream,
      createdAt: stream.createdAt,
      cursors: this.#cursors,
      wake: this.#wake,
      retry: this.#options.retry ?? OUTBOX_RETRY,
      auditMs: this.#options.auditMs ?? AUDIT_MS,
      now: this.#now,
      random: this.#random,
      aborted: () => this.#aborted,
      draining: () => this.#draining,
      onSettled,
      onAccepted: (job) => this.#refused.delete(job),
      onRefused: (job, error) => {
        if (this.#refused.get(job)?.message !== error.message) {
          this.#options.logger?.warn({ err: error, job }, 'the events of a job are refused');
        }
        this.#refused.set(job, error);
      },
      close: () => stream.close(),
    });
  }

  /** Says what is wrong once, not at every attempt. */
  #report(error: SecateurError): void {
    const known = this.#lastError?.message === error.message;
    this.#lastError = error;
    if (known) return;
    const { pending } = this.status();
    this.#options.logger?.warn({ err: error, pending }, 'events cannot be published to NATS; jobs go on');
  }

  #ringAll(): void {
    this.#wake.ring();
    this.#stopBell.ring();
  }
}
