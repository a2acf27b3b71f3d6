/**
 * The agent's stream to the coordinator: opened, kept, and opened again with growing pauses for as long as the worker
 * lives. Nothing is queued while it is down: `register` tells the coordinator what there is when it comes up again.
 */
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { Log } from '../../shared/log.ts';
import { createClient, type ServiceClient } from '../../shared/rpc/channel.ts';
import type { CoordinatorMessage__Output } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { Registered__Output } from '../../shared/rpc/generated/secateur/v1/Registered.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import type { WorkersClient } from '../../shared/rpc/generated/secateur/v1/Workers.ts';
import { fromServiceError } from '../../shared/rpc/status.ts';

const RETRY_FIRST_MS = 200;
const RETRY_MAX_MS = 5_000;
const STABLE_AFTER_MS = 5_000;
/** Nothing of what was written was taken for this long: the coordinator does not read, and the stream is begun anew. */
const BLOCKED_MAX_MS = 30_000;

type Stream = ClientDuplexStream<WorkerMessage, CoordinatorMessage__Output>;

export interface AttachListener {
  register(): WorkerMessage;
  registered(message: Registered__Output): void;
  message(message: CoordinatorMessage__Output): void;
  /** The coordinator will not have this worker: trying again would not help. */
  refused(error: SecateurError): void;
  readonly log: Log;
}

export class AttachStream {
  private readonly address: string;
  private readonly listener: AttachListener;
  private readonly client: ServiceClient<WorkersClient>;
  private stream: Stream | null = null;
  private isRegistered = false;
  private failures = 0;
  /** Of the coordinator that took the last registration. */
  private epoch = 0;
  private registeredAtMs = Number.POSITIVE_INFINITY;
  private blockedSinceMs: number | null = null;
  private retry: NodeJS.Timeout | null = null;
  private closed = false;

  constructor(address: string, listener: AttachListener) {
    this.address = address;
    this.listener = listener;
    this.client = createClient(address, 'Workers');
  }

  open(): void {
    const stream: Stream = this.client.attach();
    this.stream = stream;
    this.isRegistered = false;
    this.blockedSinceMs = null;
    stream.on('data', (message: CoordinatorMessage__Output) => {
      if (stream !== this.stream) return;
      if (message.registered) {
        this.isRegistered = true;
        this.registeredAtMs = performance.now();
        // A coordinator that was started again is no stream that breaks at once each time.
        if (message.registered.epoch > this.epoch) this.failures = 0;
        this.epoch = message.registered.epoch;
        this.listener.registered(message.registered);
      } else {
        this.listener.message(message);
      }
    });
    stream.on('error', (error) => this.broke(stream, fromServiceError(error, this.address)));
    stream.on('end', () =>
      this.broke(stream, new SecateurError('Unavailable', `the coordinator at ${this.address} ended the stream`)),
    );
    stream.write(this.listener.register());
  }

  /** Sends now, or not at all: what must not be lost is part of the next registration. */
  send(message: WorkerMessage): void {
    const stream = this.stream;
    if (stream === null || !this.isRegistered) return;
    if (stream.write(message)) return;
    const nowMs = performance.now();
    if (this.blockedSinceMs === null) {
      this.blockedSinceMs = nowMs;
      stream.once('drain', () => {
        this.blockedSinceMs = null;
      });
    } else if (nowMs - this.blockedSinceMs > BLOCKED_MAX_MS) {
      this.broke(stream, new SecateurError('Unavailable', `the coordinator at ${this.address} does not read`));
    }
  }

  /** Says a last word and closes for good. */
  close(last: WorkerMessage): void {
    this.closed = true;
    if (this.retry !== null) clearTimeout(this.retry);
    const stream = this.stream;
    this.stream = null;
    if (stream !== null && this.isRegistered) stream.write(last);
    stream?.end();
    // The channel goes when the last word has gone.
    stream?.on('status', () => this.client.close());
    stream?.resume();
  }

  private broke(stream: Stream, error: SecateurError): void {
    if (stream !== this.stream || this.closed) return;
    this.stream = null;
    this.isRegistered = false;
    stream.cancel();
    // A name that is taken may be free in a moment: the same worker's old stream that is not yet known to be dead.
    if (error.code === 'ArgumentInvalid') return this.listener.refused(error);
    // Only a stream that lived is a success: one that breaks at once, each time, must not be tried without pause.
    if (performance.now() - this.registeredAtMs > STABLE_AFTER_MS) this.failures = 0;
    this.registeredAtMs = Number.POSITIVE_INFINITY;
    this.failures += 1;
    if (this.failures === 1 || this.failures % 10 === 0) {
      this.listener.log(
        'warn',
        `no stream to the coordinator (tried ${this.failures} times, goes on trying): ${error.message}`,
      );
    }
    const ceiling = Math.min(RETRY_MAX_MS, RETRY_FIRST_MS * 2 ** Math.min(10, this.failures - 1));
    this.retry = setTimeout(() => this.open(), ceiling * (0.5 + Math.random() / 2));
  }
}
