/**
 * Channels: the limits and the keepalive that clients and servers agree on, and how either is made.
 *
 * Keepalive must be asked for: without it a peer whose machine is gone is noticed when the kernel gives the connection
 * up, after minutes. grpc-js servers accept pings at any interval.
 */
import {
  type ChannelCredentials,
  type ChannelOptions,
  type Client,
  credentials as clientCredentials,
  Server,
  ServerCredentials,
} from '@grpc/grpc-js';
import { SecateurError } from '../errors/secateur-error.ts';
import { SERVICES, type ServiceName, type Services } from './load-protos.ts';

/** Of any message, either way; a bigger one is refused by the receiver before it is kept. */
const MESSAGE_SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** Of a file's bytes in one message. */
export const CHUNK_SIZE_BYTES_MAX = 1024 * 1024;

const KEEPALIVE_INTERVAL_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
/** Calls under way on one connection; a worker has three or four. */
const CONCURRENT_STREAMS_MAX = 256;
const RECONNECT_BACKOFF_FIRST_MS = 200;
const RECONNECT_BACKOFF_MAX_MS = 2_000;
/** What may be under way, unread, on a stream and on a connection. The default (64 KiB) throttles bulk transfers. */
const FLOW_CONTROL_WINDOW_BYTES = 4 * 1024 * 1024;
/** For connections to close once their calls were ended: over the loopback or a network that works, milliseconds. */
const CLOSE_FORCED_MAX_MS = 1_000;

const COMMON_OPTIONS: ChannelOptions = {
  'grpc.max_send_message_length': MESSAGE_SIZE_BYTES_MAX,
  'grpc.max_receive_message_length': MESSAGE_SIZE_BYTES_MAX,
  'grpc.keepalive_time_ms': KEEPALIVE_INTERVAL_MS,
  'grpc.keepalive_timeout_ms': KEEPALIVE_TIMEOUT_MS,
  'grpc-node.flow_control_window': FLOW_CONTROL_WINDOW_BYTES,
};

const CLIENT_OPTIONS: ChannelOptions = {
  ...COMMON_OPTIONS,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.initial_reconnect_backoff_ms': RECONNECT_BACKOFF_FIRST_MS,
  'grpc.max_reconnect_backoff_ms': RECONNECT_BACKOFF_MAX_MS,
  // Workers and coordinator are neighbours: a proxy for the outside world is not on the way between them, and no
  // service configuration stands in DNS.
  'grpc.enable_http_proxy': 0,
  'grpc.service_config_disable_resolution': 1,
};

const SERVER_OPTIONS: ChannelOptions = {
  ...COMMON_OPTIONS,
  'grpc.max_concurrent_streams': CONCURRENT_STREAMS_MAX,
};

export interface ChannelSettings<Credentials> {
  /** Plaintext where left out. */
  readonly credentials?: Credentials;
  /** Over the ones above; tests shorten the keepalive. */
  readonly channelOptions?: ChannelOptions;
}

/** A client that knows where it dials, so that an error can say so. */
export type ServiceClient<C extends Client> = C & { readonly address: string };

/** @param address host:port. Nothing is dialled before the first call. */
export function createClient<Name extends ServiceName>(
  address: string,
  service: Name,
  settings: ChannelSettings<ChannelCredentials> = {},
): ServiceClient<InstanceType<Services[Name]>> {
  const { credentials = clientCredentials.createInsecure(), channelOptions = {} } = settings;
  const ClientOfService = SERVICES[service] as new (...args: ConstructorParameters<typeof Client>) => Client;
  const client = new ClientOfService(address, credentials, { ...CLIENT_OPTIONS, ...channelOptions });
  return Object.assign(client, { address }) as unknown as ServiceClient<InstanceType<Services[Name]>>;
}

export function createServer(channelOptions: ChannelOptions = {}): Server {
  return new Server({ ...SERVER_OPTIONS, ...channelOptions });
}

/**
 * Binds and begins to serve.
 *
 * @param address host:port; port 0 takes a free one
 * @returns host:port as bound
 * @throws Unavailable where the address is taken or is not this machine's
 */
export async function bindServer(
  server: Server,
  address: string,
  credentials: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<number>();
  server.bindAsync(address, credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  try {
    return `${address.slice(0, address.lastIndexOf(':'))}:${await promise}`;
  } catch (cause) {
    throw new SecateurError(
      'Unavailable',
      `cannot listen on ${address}: ${(cause as Error).message}. Choose another address, or end what listens there.`,
      { cause, details: { address } },
    );
  }
}

/**
 * Lets calls under way end for at most `graceMs`, then ends them, and resolves at most `CLOSE_FORCED_MAX_MS` later: a
 * connection whose peer has stopped closes only when the peer does. What is left of it goes with the process.
 */
export async function closeServer(server: Server, graceMs: number): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let timer = setTimeout(() => {
    server.forceShutdown();
    timer = setTimeout(resolve, CLOSE_FORCED_MAX_MS);
  }, graceMs);
  server.tryShutdown(() => resolve());
  await promise;
  clearTimeout(timer);
}
