/**
 * The agent's stream to the coordinator: opened, kept, and opened again with growing pauses for as long as the worker
 * lives. Nothing is queued while it is down: `register` tells the coordinator what there is when it comes up again.
 *
 * Every message carries the epoch of the registration; one of an earlier epoch than this worker has seen of the same
 * coordinator comes from a process that others have taken over from, and ends the stream.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { Log } from '../../shared/log.ts';
import type { CoordinatorMessage__Output } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { Registered__Output } from '../../shared/rpc/generated/secateur/v1/Registered.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { fromServiceError } from '../../shared/rpc/status.ts';
import type { Timer, Timers } from '../../shared/timers.ts';

const RETRY_FIRST_MS = 200;
/** Well below the time that a coordinator which comes back gives its workers to come back as well. */
const RETRY_MAX_MS = 3_000;
const STABLE_AFTER_MS = 5_000;
/** Nothing of what was written was taken for this long: the coordinator does not read, and the stream is begun anew. */
const BLOCKED_MAX_MS = 30_000;

/** Of gRPC's client stream what is used here. */
export interface AttachCall {
  on(event: 'data', listener: (message: CoordinatorMessage__Output) => void): unknown;
  on(event: 'error', listener: (error: Error) => void): unknown;
  on(event: 'end' | 'status', listener: () => void): unknown;
  once(event: 'drain', listener: () => void): unknown;
  /** False when the other side does not read as fast as this one writes. */
  write(message: WorkerMessage): boolean;
  end(): unknown;
  cancel(): void;
  resume(): unknown;
}

/** The way to the coordinator. */
export interface AttachTransport {
  readonly address: string;
  /** Workers.Attach. */
  open(): AttachCall;
  close(): void;
}

export interface AttachOptions {
  readonly transport: AttachTransport;
  readonly timers: Timers;
  /** Spreads the attempts of many workers; in [0, 1). */
  readonly random: () => number;
}

export interface AttachListener {
  register(): WorkerMessage;
  registered(message: Registered__Output): void;
  message(message: CoordinatorMessage__Output): void;
  /** The coordinator will not have this worker: trying again would not help. */
  refused(error: SecateurError): void;
  readonly log: Log;
}

export class AttachStream {
  private readonly transport: AttachTransport;
  private readonly timers: Timers;
  private readonly random: () => number;
  private readonly listener: AttachListener;
  private stream: AttachCall | null = null;
  private isRegistered = false;
  /** The newest epoch seen, and whose it was. */
  private epoch = 0;
  private coordinatorId = '';
  private failures = 0;
  private registeredAtMs = Number.POSITIVE_INFINITY;
  private blockedSinceMs: number | null = null;
  private retry: Timer | null = null;
  private closed = false;

  constructor({ transport, timers, random }: AttachOptions, listener: AttachListener) {
    this.transport = transport;
    this.timers = timers;
    this.random = random;
    this.listener = listener;
  }

  open(): void {
    const { address } = this.transport;
    const stream = this.transport.open();
    this.stream = stream;
    this.isRegistered = false;
    this.blockedSinceMs = null;
    stream.on('data', (message: CoordinatorMessage__Output) => {
      if (stream !== this.stream) return;
      if (message.registered) this.registered(stream, message.registered);
      else if (message.epoch === this.epoch) this.listener.message(message);
      else this.broke(stream, this.stale(message.epoch));
    });
    stream.on('error', (error) => this.broke(stream, fromServiceError(error, address)));
    stream.on('end', () =>
      this.broke(stream, new SecateurError('Unavailable', `the coordinator at ${address} ended the stream`)),
    );
    const { register } = this.listener.register();
    stream.write({ register: { ...register, lastEpoch: this.epoch, lastCoordinatorId: this.coordinatorId } });
  }

  private registered(stream: AttachCall, message: Registered__Output): void {
    const { epoch, coordinatorId } = message;
    if (coordinatorId === this.coordinatorId && epoch < this.epoch) return this.broke(stream, this.stale(epoch));
    // A coordinator that was started again is no stream that breaks at once each time.
    if (epoch > this.epoch || coordinatorId !== this.coordinatorId) this.failures = 0;
    this.epoch = epoch;
    this.coordinatorId = coordinatorId;
    this.isRegistered = true;
    this.registeredAtMs = this.timers.monotonicMs();
    this.listener.registered(message);
  }

  private stale(found: number): SecateurError {
    return new SecateurError(
      'StaleEpoch',
      `the coordinator at ${this.transport.address} speaks for epoch ${found}; epoch ${this.epoch} has begun: it has been taken over from`,
      { details: { found, expected: this.epoch } },
    );
  }

  /** Whether the coordinator takes now what is sent now. */
  get takes(): boolean {
    return this.stream !== null && this.isRegistered && this.blockedSinceMs === null;
  }

  /**
   * Sends now, or not at all: what must not be lost is part of the next registration.
   *
   * @returns whether there was a stream to send it on
   */
  send(message: WorkerMessage): boolean {
    const stream = this.stream;
    if (stream === null || !this.isRegistered) return false;
    if (stream.write({ ...message, epoch: this.epoch })) return true;
    const nowMs = this.timers.monotonicMs();
    if (this.blockedSinceMs === null) {
      this.blockedSinceMs = nowMs;
      stream.once('drain', () => {
        this.blockedSinceMs = null;
      });
    } else if (nowMs - this.blockedSinceMs > BLOCKED_MAX_MS) {
      const { address } = this.transport;
      this.broke(stream, new SecateurError('Unavailable', `the coordinator at ${address} does not read`));
    }
    return true;
  }

  /** Says a last word and closes for good. */
  close(last: WorkerMessage): void {
    this.closed = true;
    this.retry?.clear();
    const stream = this.stream;
    this.stream = null;
    if (stream !== null && this.isRegistered) stream.write({ ...last, epoch: this.epoch });
    stream?.end();
    // The channel goes when the last word has gone.
    stream?.on('status', () => this.transport.close());
    stream?.resume();
  }

  private broke(stream: AttachCall, error: SecateurError): void {
    if (stream !== this.stream || this.closed) return;
    this.stream = null;
    this.isRegistered = false;
    stream.cancel();
    // A name that is taken may be free in a moment: the same worker's old stream that is not yet known to be dead.
    if (error.code === 'ArgumentInvalid') return this.listener.refused(error);
    // Only a stream that lived is a success: one that breaks at once, each time, must not be tried without pause.
    if (this.timers.monotonicMs() - this.registeredAtMs > STABLE_AFTER_MS) this.failures = 0;
    this.registeredAtMs = Number.POSITIVE_INFINITY;
    this.failures += 1;
    if (this.failures === 1 || this.failures % 10 === 0) {
      this.listener.log(
        'warn',
        `no stream to the coordinator (tried ${this.failures === 1 ? 'once' : `${this.failures} times`}, goes on trying): ${error.message}`,
      );
    }
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(10, this.failures - 1));
    this.retry = this.timers.setTimeout(() => this.open(), ceiling * (0.5 + this.random() / 2));
  }
}
