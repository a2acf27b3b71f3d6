/** One request, many responses: for the client an async iteration, for the server an async generator. */
import { type handleServerStreamingCall, Metadata } from '@grpc/grpc-js';
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
 * Responses as they come, at the reader's pace; leaving the loop cancels the call.
 *
 * @throws SecateurError as the server threw it; Unavailable and DeadlineExceeded name the address
 */
export async function* serverStream<Request, Response>(
  client: AnyServiceClient,
  method: ClientMethod<Request, Response>,
  request: Request,
  settings: CallSettings,
): AsyncGenerator<Response, void, undefined> {
  const { path, requestSerialize, responseDeserialize } = method;
  const options = callOptions(settings);
  const call = client.makeServerStreamRequest(
    path,
    requestSerialize,
    responseDeserialize,
    request,
    new Metadata(),
    options,
  );
  const stopListening = cancelOnAbort(call, settings.signal);
  try {
    for await (const response of call) yield response as Response;
  } catch (thrown) {
    throw fromServiceError(thrown, client.address);
  } finally {
    stopListening();
    // A call whose reader has left reports its cancellation to nobody.
    call.on('error', () => undefined);
    call.cancel();
  }
}

/**
 * What the generator yields is sent at the client's pace; what it throws is the status. The signal is aborted when the
 * client has cancelled, is gone, or is out of time; then the generator is ended too (its `finally` runs).
 */
export function handleServerStream<Request, Response>(
  handler: (request: Request, signal: AbortSignal) => AsyncIterable<Response>,
): handleServerStreamingCall<Request, Response> {
  return (call) => {
    const gone = new AbortController();
    call.once('cancelled', () => gone.abort());
    const queue = new SendQueue<Response>(call);
    const run = async (): Promise<void> => {
      for await (const response of handler(call.request, gone.signal)) {
        if (gone.signal.aborted) return;
        await queue.send(response);
      }
    };
    run().then(
      () => call.end(),
      (thrown: unknown) => {
        // To a client that is gone there is nothing to say.
        if (!gone.signal.aborted) call.emit('error', toServiceError(thrown));
      },
    );
  };
}
