/**
 * An EventStream on a real JetStream stream, over one connection.
 *
 * The connection never reconnects by itself (`reconnect: false`): the client would then send what it had buffered
 * before, behind our back. When it ends, the session ends; a new session asks the stream where it stands.
 */

import { readFile } from 'node:fs/promises';
import {
  JetStreamApiCodes,
  JetStreamApiError,
  type JetStreamClient,
  type JetStreamManager,
  jetstream,
  jetstreamManager,
  PubHeaders,
  type StoredMsg,
  type StreamInfo,
} from '@nats-io/jetstream';
import {
  connect,
  credsAuthenticator,
  headers,
  InvalidArgumentError,
  type NatsConnection,
  nanos,
  type TlsOptions,
} from '@nats-io/transport-node';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import {
  CLOUD_EVENT_MEDIA_TYPE,
  eventId,
  natsSubject,
  SUBJECT_ROOT,
  toCloudEvent,
} from '../../shared/events/cloud-event.ts';
import type { JobEvent } from '../../shared/events/job-event.ts';
import type { AppendOutcome, EventStream, StreamMessage, StreamState } from './event-stream.ts';
import { replaced } from './job-lane.ts';

const CONNECT_TIMEOUT_MS = 5_000;
/** A partitioned cluster takes up to 8 s to elect a leader. */
const REQUEST_TIMEOUT_MS = 15_000;
/** A connection without traffic is found dead after two of these. */
const PING_INTERVAL_MS = 10_000;
const PING_OUT_MAX = 2;
/** Only a second line of defence (job-lane.ts does not need it), but other tools read streams too. */
const DUPLICATE_WINDOW_MS = 24 * 60 * 60 * 1000;

interface NatsEndpoint {
  /** `host:port`, `nats://host:port` or `tls://host:port`; of a cluster, name several. */
  readonly servers: string | readonly string[];
  /** A NATS credentials file (JWT and seed). Read again at every connection, so it may be rotated. */
  readonly credentialsFile?: string | undefined;
  readonly tls?: TlsOptions | undefined;
}

export interface NatsStreamOptions extends NatsEndpoint {
  readonly stream: string;
  /** Replicas of the stream where it has to be created. */
  readonly replicas: number;
}

export class NatsStream implements EventStream {
  readonly createdAt: string;
  readonly #connection: NatsConnection;
  readonly #manager: JetStreamManager;
  readonly #client: JetStreamClient;
  readonly #name: string;
  /** The highest stream sequence that the server told us of. */
  #highest: number;

  private constructor(connection: NatsConnection, manager: JetStreamManager, info: StreamInfo) {
    this.#connection = connection;
    this.#manager = manager;
    this.#client = jetstream(connection, { timeout: REQUEST_TIMEOUT_MS });
    this.#name = info.config.name;
    this.createdAt = info.created;
    this.#highest = info.state.last_seq;
  }

  /** Connects once, and finds or creates the stream. Rejects with a SecateurError; nothing is left open then. */
  static async open(options: NatsStreamOptions): Promise<NatsStream> {
    let connection: NatsConnection | undefined;
    try {
      connection = await dial(options);
      const manager = await jetstreamManager(connection, { timeout: REQUEST_TIMEOUT_MS });
      const info = await findOrCreate(manager, options);
      if (info.config.no_ack === true) throw unacknowledged(options.stream);
      return new NatsStream(connection, manager, info);
    } catch (thrown) {
      await connection?.close();
      throw asUnavailable(thrown, `NATS at ${[options.servers].flat().join(', ')}`);
    }
  }

  /** Resolves when the connection has ended, for whatever reason, with that reason. */
  async closed(): Promise<SecateurError> {
    const reason = await this.#connection.closed();
    return asUnavailable(reason ?? new Error('closed'), 'the connection to NATS');
  }

  async close(): Promise<void> {
    await this.#connection.close();
  }

  async state(): Promise<StreamState> {
    const info = await this.#ask('its state', () => this.#manager.streams.info(this.#name));
    this.#highest = Math.max(this.#highest, info.state.last_seq);
    return {
      createdAt: info.created,
      firstSequence: info.state.first_seq,
      lastSequence: info.state.last_seq,
      subjects: info.config.subjects ?? [],
    };
  }

  async lastOn(filter: string): Promise<StreamMessage | undefined> {
    const message = await this.#ask(`the last message on ${filter}`, () =>
      this.#manager.streams.getMessage(this.#name, { last_by_subj: filter }),
    );
    return message === null ? undefined : describe(message);
  }

  async at(streamSequence: number): Promise<StreamMessage | undefined> {
    const message = await this.#ask(`message ${streamSequence}`, () =>
      this.#manager.streams.getMessage(this.#name, { seq: streamSequence }),
    );
    return message === null ? undefined : describe(message);
  }

  async append(event: JobEvent, expectedOnSubject: number): Promise<AppendOutcome> {
    const metadata = headers();
    metadata.set('content-type', CLOUD_EVENT_MEDIA_TYPE);
    const floor = this.#highest;
    const id = eventId(event.job, event.sequence);
    try {
      const ack = await this.#client.publish(natsSubject(event), JSON.stringify(toCloudEvent(event)), {
        msgID: id,
        headers: metadata,
        expect: { streamName: this.#name, lastSubjectSequence: expectedOnSubject },
      });
      if (ack.duplicate) return { kind: 'duplicate', streamSequence: ack.seq };
      // Numbers only grow. A lower one was given by a stream that replaced ours between two events.
      if (ack.seq <= floor) throw replaced(this.createdAt, `one that numbered event ${id} with ${ack.seq}`);
      this.#highest = Math.max(this.#highest, ack.seq);
      return { kind: 'stored', streamSequence: ack.seq };
    } catch (thrown) {
      if (isMoved(thrown)) return { kind: 'moved' };
      throw asUnavailable(thrown, `publishing event ${id} to stream ${this.#name}`);
    }
  }

  async #ask<T>(what: string, question: () => Promise<T>): Promise<T> {
    try {
      return await question();
    } catch (thrown) {
      throw asUnavailable(thrown, `asking stream ${this.#name} for ${what}`);
    }
  }
}

async function dial(endpoint: NatsEndpoint): Promise<NatsConnection> {
  const credentials = endpoint.credentialsFile === undefined ? undefined : await readFile(endpoint.credentialsFile);
  return connect({
    name: 'secateur-coordinator',
    servers: [endpoint.servers].flat(),
    timeout: CONNECT_TIMEOUT_MS,
    reconnect: false,
    pingInterval: PING_INTERVAL_MS,
    maxPingOut: PING_OUT_MAX,
    noAsyncTraces: true,
    ...(credentials === undefined ? {} : { authenticator: credsAuthenticator(new Uint8Array(credentials)) }),
    ...(endpoint.tls === undefined ? {} : { tls: endpoint.tls }),
  });
}

async function findOrCreate(manager: JetStreamManager, options: NatsStreamOptions): Promise<StreamInfo> {
  try {
    return await manager.streams.info(options.stream);
  } catch (thrown) {
    if (!(thrown instanceof JetStreamApiError && thrown.code === JetStreamApiCodes.StreamNotFound)) throw thrown;
  }
  return manager.streams.add({
    name: options.stream,
    description: 'Events of secateur jobs (CloudEvents 1.0, structured JSON)',
    subjects: [`${SUBJECT_ROOT}.>`],
    storage: 'file',
    num_replicas: options.replicas,
    duplicate_window: nanos(DUPLICATE_WINDOW_MS),
  });
}

function describe(message: StoredMsg): StreamMessage {
  const id = message.header.get(PubHeaders.MsgIdHdr);
  return { streamSequence: message.seq, id: id === '' ? undefined : id };
}

function isMoved(thrown: unknown): boolean {
  return (
    thrown instanceof JetStreamApiError &&
    (thrown.code === JetStreamApiCodes.StreamWrongLastSequence ||
      thrown.code === JetStreamApiCodes.StreamWrongLastSequenceUnknown)
  );
}

/**
 * Any failure as `Unavailable`. Retryable (the session ends): no connection, no responders, time-outs, JetStream off or
 * electing, a server error. Not retryable (this job waits): the server understood and said no, or the event is too big.
 */
function asUnavailable(thrown: unknown, what: string): SecateurError {
  if (thrown instanceof SecateurError) return thrown;
  const reason = thrown instanceof Error ? thrown.message || thrown.name : String(thrown);
  const refused =
    (thrown instanceof JetStreamApiError && thrown.status < 500 && thrown.code !== JetStreamApiCodes.StreamNotFound) ||
    thrown instanceof InvalidArgumentError;
  return new SecateurError('Unavailable', `${what}: ${reason}.${advice(thrown)}`, {
    retryable: !refused,
    cause: thrown,
  });
}

/** JetStream's numbers for refusals that somebody can do something about. */
function advice(thrown: unknown): string {
  if (thrown instanceof InvalidArgumentError) return " Raise the server's max_payload.";
  if (!(thrown instanceof JetStreamApiError)) return ' Trying again; jobs go on, and no event is lost.';
  switch (thrown.code) {
    case 10054:
      return " Raise the stream's maximum message size (nats stream edit).";
    case 10060:
      return ' Another stream receives these subjects: configure that one, or take "secateur.>" out of it.';
    case 10065:
      return ' Another stream already receives "secateur.>": configure its name as the stream for events.';
    case 10077:
      return ' The stream is full: raise its limits, or let it discard old messages (nats stream edit).';
    default:
      return ' Trying again; jobs go on, and no event is lost.';
  }
}

function unacknowledged(stream: string): SecateurError {
  return new SecateurError(
    'Unavailable',
    `Stream ${stream} does not acknowledge (no_ack), so nothing can be delivered exactly once. Set no_ack to false, or name another stream.`,
  );
}
