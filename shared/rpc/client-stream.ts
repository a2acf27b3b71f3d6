/** Many requests, one response: the client sends an async iteration, the server's handler reads one. */
import { type handleClientStreamingCall, Metadata } from '@grpc/grpc-js';
import { SecateurError } from '../errors/secateur-error.ts';
import {
  type AnyServiceClient,
  type CallSettings,
  type ClientMethod,
  callOptions,
  cancelOnAbort,
} from './call-options.ts';
import { SendQueue } from './send-queue.ts';
import { fromServiceError, toServiceError } from './status.ts';

/**
 * Sends at the server's pace. Where the server answers early (it refuses, say), sending ends and the answer counts.
 *
 * @throws SecateurError as the server, or the iteration, threw it
 */
export async function clientStream<Request, Response>(
  client: AnyServiceClient,
  method: ClientMethod<Request, Response>,
  requests: AsyncIterable<Request>,
  settings: CallSettings & { readonly timeoutMs: number },
): Promise<Response> {
  const answer = Promise.withResolvers<Response>();
  const { path, requestSerialize, responseDeserialize } = method;
  const options = callOptions(settings);
  let answered = false;
  const call = client.makeClientStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    new Metadata(),
    options,
    (error, response) => {
      answered = true;
      if (error !== null) answer.reject(error);
      else answer.resolve(response as Response);
      // Wakes a sender that waits for room: there will be none.
      call.destroy();
    },
  );
  const queue = new SendQueue<Request>(call);
  const stopListening = cancelOnAbort(call, settings.signal);
  // It may come while the sender still waits; it is awaited below.
  answer.promise.catch(() => undefined);
  try {
    try {
      for await (const request of requests) {
        if (answered) break;
        await queue.send(request);
      }
      call.end();
    } catch (thrown) {
      if (!answered) {
        call.cancel();
        throw thrown;
      }
    }
    return await answer.promise;
  } catch (thrown) {
    throw fromServiceError(thrown, client.address);
  } finally {
    stopListening();
  }
}

/**
 * The handler reads the requests at its own pace and returns the response. An iteration over a client that cancels, dies
 * or runs out of time throws `Cancelled`; an iteration that ends without an error has seen every request.
 */
export function handleClientStream<Request, Response>(
  handler: (requests: AsyncIterable<Request>) => Promise<Response>,
): handleClientStreamingCall<Request, Response> {
  return (call, callback) => {
    const requests = async function* (): AsyncGenerator<Request> {
      try {
        // The transport ends a handler's call itself: leaving the loop early must not destroy it.
        for await (const request of call.iterator({ destroyOnReturn: false })) yield request as Request;
      } catch (cause) {
        throw new SecateurError('Cancelled', 'the sender broke the stream off before its end', { cause });
      }
      if (call.cancelled) throw new SecateurError('Cancelled', 'the sender broke the stream off before its end');
    };
    handler(requests()).then(
      (response) => callback(null, response),
      (thrown: unknown) => callback(toServiceError(thrown)),
    );
  };
}
