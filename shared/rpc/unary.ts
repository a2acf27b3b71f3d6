/** One request, one response: the client's call as a promise, and the server's handler as an async function. */
import { type handleUnaryCall, Metadata } from '@grpc/grpc-js';
import {
  type AnyServiceClient,
  type CallSettings,
  type ClientMethod,
  callOptions,
  cancelOnAbort,
} from './call-options.ts';
import { fromServiceError, toServiceError } from './status.ts';

/**
 * @example await unary(client, SERVICES.Jobs.service.Get, { job }, { timeoutMs: 5_000 })
 * @throws SecateurError as the server threw it; Unavailable and DeadlineExceeded name the address
 */
export async function unary<Request, Response>(
  client: AnyServiceClient,
  method: ClientMethod<Request, Response>,
  request: Request,
  settings: CallSettings & { readonly timeoutMs: number },
): Promise<Response> {
  const { promise, resolve, reject } = Promise.withResolvers<Response>();
  const call = client.makeUnaryRequest(
    method.path,
    method.requestSerialize,
    method.responseDeserialize,
    request,
    new Metadata(),
    callOptions(settings),
    (error, response) => {
      if (error !== null) reject(error);
      else resolve(response as Response);
    },
  );
  const stopListening = cancelOnAbort(call, settings.signal);
  try {
    return await promise;
  } catch (thrown) {
    throw fromServiceError(thrown, client.address);
  } finally {
    stopListening();
  }
}

/** The handler's result is the response; what it throws is the status. */
export function handleUnary<Request, Response>(
  handler: (request: Request) => Promise<Response> | Response,
): handleUnaryCall<Request, Response> {
  return (call, callback) => {
    const run = async (): Promise<Response> => handler(call.request);
    run().then(
      (response) => callback(null, response),
      (thrown: unknown) => callback(toServiceError(thrown)),
    );
  };
}
