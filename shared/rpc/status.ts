/**
 * Errors over the wire: a SecateurError becomes a gRPC status with the error itself in the trailing metadata, and comes
 * out of the client with its code, its message and its details as they were. What the transport reports on its own
 * (nobody listens, a deadline) is given the code that fits and a message that names the address.
 */
import { Metadata, type ServiceError, status as Status } from '@grpc/grpc-js';
import {
  ERROR_TABLE,
  type ErrorCode,
  type ErrorDetails,
  SecateurError,
  toSecateurError,
} from '../errors/secateur-error.ts';
import { addressReason } from './address-reason.ts';

/** `-bin`: bytes, which the transport carries as base64. */
const METADATA_KEY = 'secateur-error-bin';
/** Trailers are headers: peers and proxies refuse them past 8 to 16 KiB in all. */
const ENCODED_ERROR_BYTES_MAX = 6 * 1024;
const STATUS_MESSAGE_BYTES_MAX = 1024;

interface WireError {
  readonly code: ErrorCode;
  readonly message: string;
  readonly retryable: boolean;
  readonly details: ErrorDetails;
}

/** What a handler gives to its callback, or emits as 'error' on its stream. */
export function toServiceError(thrown: unknown): ServiceError {
  const error = toSecateurError(thrown);
  const metadata = new Metadata();
  metadata.set(METADATA_KEY, encode(error));
  const details = shorten(error.message.toWellFormed(), STATUS_MESSAGE_BYTES_MAX);
  const code = ERROR_TABLE[error.code].grpcStatus;
  return Object.assign(new Error(details, { cause: error }), { code, details, metadata });
}

/** @param address whom the call was made to, for the message */
export function fromServiceError(thrown: unknown, address: string): SecateurError {
  if (thrown instanceof SecateurError) return thrown;
  if (!isServiceError(thrown)) return toSecateurError(thrown);
  const carried = decode(thrown.metadata?.get(METADATA_KEY)[0]);
  if (carried !== null) {
    const { code, message, retryable, details } = carried;
    return new SecateurError(code, message, { retryable, details, cause: thrown });
  }
  return fromTransport(thrown, address);
}

function fromTransport(error: ServiceError, address: string): SecateurError {
  const options = { cause: error, details: { address, grpcStatus: Status[error.code] ?? String(error.code) } };
  // grpc-js ends some of its reasons with an empty note.
  const reason = error.details.replace(/\.? Resolution note: ?$/, '');
  const what = reason === '' ? 'no reason given' : reason;
  switch (error.code) {
    case Status.UNAVAILABLE:
      return new SecateurError(
        'Unavailable',
        `cannot reach ${address}: ${addressReason(what)}. Check that the coordinator runs and that this is its address.`,
        { ...options, retryable: true },
      );
    case Status.DEADLINE_EXCEEDED:
      return new SecateurError(
        'DeadlineExceeded',
        `${address} did not answer in time: ${what}. Check that the coordinator runs and is not overloaded, then try again.`,
        { ...options, retryable: true },
      );
    case Status.CANCELLED:
      return new SecateurError('Cancelled', `the call to ${address} was cancelled: ${what}`, options);
    case Status.RESOURCE_EXHAUSTED:
      return new SecateurError(
        'LimitExceeded',
        `a message to or from ${address} is over the limit: ${what}. Use one version of secateur everywhere.`,
        options,
      );
    case Status.UNIMPLEMENTED:
      return new SecateurError(
        'Internal',
        `${address} does not know this call: ${what}. Use one version of secateur everywhere, and check that this is a coordinator.`,
        options,
      );
    default:
      return new SecateurError('Internal', `${address} answered ${options.details.grpcStatus}: ${what}`, options);
  }
}

function isServiceError(thrown: unknown): thrown is ServiceError {
  return thrown instanceof Error && 'details' in thrown && 'code' in thrown && typeof thrown.code === 'number';
}

/** As JSON; where that is too long, first the details go, then the end of the message. */
function encode({ code, message, retryable, details }: SecateurError): Buffer {
  const whole = Buffer.from(JSON.stringify({ code, message, retryable, details }));
  if (whole.length <= ENCODED_ERROR_BYTES_MAX) return whole;
  // JSON escapes can make a character six times as long.
  const fitting = { code, message: shorten(message, ENCODED_ERROR_BYTES_MAX / 8), retryable, details: {} };
  const bare = Buffer.from(JSON.stringify({ ...fitting, message }));
  return bare.length <= ENCODED_ERROR_BYTES_MAX ? bare : Buffer.from(JSON.stringify(fitting));
}

function decode(value: unknown): WireError | null {
  if (!Buffer.isBuffer(value)) return null;
  try {
    const wire = JSON.parse(value.toString('utf8')) as Partial<WireError> | null;
    if (wire === null || typeof wire.code !== 'string' || !Object.hasOwn(ERROR_TABLE, wire.code)) return null;
    const details = typeof wire.details === 'object' && wire.details !== null ? wire.details : {};
    return { code: wire.code, message: String(wire.message), retryable: wire.retryable === true, details };
  } catch (thrown) {
    // A peer that is no secateur, or a newer one: the status says enough.
    if (thrown instanceof SyntaxError) return null;
    throw thrown;
  }
}

/** At most `sizeBytesMax` of UTF-8, never half a character. */
function shorten(text: string, sizeBytesMax: number): string {
  if (Buffer.byteLength(text) <= sizeBytesMax) return text;
  const { read } = new TextEncoder().encodeInto(text, new Uint8Array(sizeBytesMax - Buffer.byteLength('…')));
  return `${text.slice(0, read)}…`;
}
