/** What every call is given: how long it may take, and whom it is made to. */
import type { CallOptions, Client } from '@grpc/grpc-js';
import type { MethodDefinition } from '@grpc/proto-loader';
import { invariant } from '../errors/secateur-error.ts';
import type { ServiceClient } from './channel.ts';

/** A longer timer fires at once. */
const TIMER_MAX_MS = 2 ** 31;

export interface CallSettings {
  /** From now on, the wait for a connection included. Null is for streams without an end: keepalive guards those. */
  readonly timeoutMs: number | null;
  readonly signal?: AbortSignal;
}

/** Of a generated service definition: what a client needs of a method. */
export type ClientMethod<Request, Response> = Pick<
  MethodDefinition<Request, never, never, Response>,
  'path' | 'requestSerialize' | 'responseDeserialize'
>;

export type AnyServiceClient = ServiceClient<Client>;

export function callOptions({ timeoutMs }: CallSettings): CallOptions {
  if (timeoutMs === null) return {};
  invariant(timeoutMs > 0 && timeoutMs < TIMER_MAX_MS, 'a call has time, and a timer can count it');
  return { deadline: Date.now() + timeoutMs };
}

/** Cancels the call when the signal says so. @returns what takes the listener off again */
export function cancelOnAbort(call: { cancel(): void }, signal: AbortSignal | undefined): () => void {
  if (signal === undefined) return () => undefined;
  const cancel = (): void => call.cancel();
  if (signal.aborted) cancel();
  else signal.addEventListener('abort', cancel, { once: true });
  return () => signal.removeEventListener('abort', cancel);
}
