/** A worker's stream as the service sees it: what it needs of gRPC's, so that something else can stand there. */
import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { CoordinatorMessage } from '../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { WorkerMessage__Output } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { toServiceError } from '../../shared/rpc/status.ts';

export interface WorkerStream {
  on(event: 'data', listener: (message: WorkerMessage__Output) => void): unknown;
  /** 'end': the worker has said its last word. 'error' and 'cancelled': the stream broke. */
  on(event: 'end' | 'error' | 'cancelled', listener: () => void): unknown;
  write(message: CoordinatorMessage): unknown;
  /** Messages that were written and that the other side has not read. */
  readonly writableLength: number;
  /** Stops 'data': the transport's flow control slows the sender down. */
  pause(): unknown;
  resume(): unknown;
  isPaused(): boolean;
  end(): unknown;
  /** Ends the stream with the reason as its status. */
  fail(reason: unknown): void;
}

export function fromGrpc(stream: ServerDuplexStream<WorkerMessage__Output, CoordinatorMessage>): WorkerStream {
  return {
    on: (event: 'data' | 'end' | 'error' | 'cancelled', listener: (message: WorkerMessage__Output) => void) =>
      stream.on(event, listener),
    write: (message) => stream.write(message),
    get writableLength() {
      return stream.writableLength;
    },
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    isPaused: () => stream.isPaused(),
    end: () => stream.end(),
    fail: (reason) => stream.emit('error', toServiceError(reason)),
  };
}
