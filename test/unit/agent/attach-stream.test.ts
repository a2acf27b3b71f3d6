import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { AttachStream } from '../../../worker/agent/attach-stream.ts';

/** A coordinator that takes a registration as `epoch`, and then breaks the stream at once. */
class BreakingCoordinator {
  readonly address = 'coordinator:7070';
  readonly calls: FakeCall[] = [];

  open(): FakeCall {
    const call = new FakeCall();
    this.calls.push(call);
    return call;
  }

  close(): void {}

  breakAs(epoch: number): void {
    const call = this.calls.at(-1) as FakeCall;
    call.emit('data', { epoch, registered: { epoch, coordinatorId: 'c', heartbeatIntervalMs: 1_000 } });
    call.emit('end');
  }
}

class FakeCall extends EventEmitter {
  write(): boolean {
    return true;
  }
  end(): void {}
  cancel(): void {}
  resume(): void {}
}

/** @returns the pauses before the stream was opened again, one for each epoch as which it broke */
function pausesOver(epochs: readonly number[]): number[] {
  const pauses: number[] = [];
  const timers = {
    now: () => 0,
    monotonicMs: () => 0,
    setTimeout: (run: () => void, ms: number) => {
      pauses.push(ms);
      run();
      return { clear: () => undefined };
    },
    setInterval: () => ({ clear: () => undefined }),
  };
  const transport = new BreakingCoordinator();
  const stream = new AttachStream(
    { transport, timers, random: () => 1 },
    {
      register: () => ({ register: {} }),
      registered: () => undefined,
      message: () => undefined,
      refused: () => undefined,
      log: () => undefined,
    },
  );
  stream.open();
  for (const epoch of epochs) transport.breakAs(epoch);
  return pauses;
}

describe('a stream that breaks as soon as it is there', () => {
  it('is tried with growing pauses where it is the same coordinator each time', () => {
    expect(pausesOver([1, 1, 1, 1, 1, 1])).toEqual([200, 400, 800, 1_600, 3_000, 3_000]);
  });

  it('is tried soon where the coordinator was started again: that says nothing against it', () => {
    expect(pausesOver([1, 1, 1, 2, 3, 3])).toEqual([200, 400, 800, 200, 200, 400]);
  });
});
