/** Stands between a stream and who uses it, and changes some of what passes. */
import type { WorkerStream } from '../../coordinator/api/worker-stream.ts';
import type { WorkerMessage__Output } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';

export interface Interception {
  readonly write?: WorkerStream['write'];
  /** Of what the worker says. */
  readonly said?: (message: WorkerMessage__Output) => WorkerMessage__Output;
}

export function between(stream: WorkerStream, { write, said = (message) => message }: Interception): WorkerStream {
  return {
    on: (event: 'data' | 'end' | 'error' | 'cancelled', listener: (message: WorkerMessage__Output) => void) => {
      if (event === 'data') stream.on('data', (message) => listener(said(message)));
      else stream.on(event, listener as () => void);
    },
    write: write ?? ((message) => stream.write(message)),
    get writableLength() {
      return stream.writableLength;
    },
    pause: () => stream.pause(),
    resume: () => stream.resume(),
    isPaused: () => stream.isPaused(),
    end: () => stream.end(),
    fail: (reason) => stream.fail(reason),
  };
}
