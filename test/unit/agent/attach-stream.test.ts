import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import type { CoordinatorMessage__Output } from '../../../shared/rpc/generated/secateur/v1/CoordinatorMessage.ts';
import type { WorkerMessage } from '../../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { AttachStream } from '../../../worker/agent/attach-stream.ts';

/** A coordinator that the test speaks for. */
class FakeCoordinator {
  readonly address = 'coordinator:7070';
  readonly calls: FakeCall[] = [];

  open(): FakeCall {
    const call = new FakeCall();
    this.calls.push(call);
    return call;
  }

  close(): void {}

  get call(): FakeCall {
    return this.calls.at(-1) as FakeCall;
  }

  registerAs(epoch: number, coordinatorId = 'c'): void {
    this.call.emit('data', { epoch, registered: { epoch, coordinatorId, heartbeatIntervalMs: 1_000 } });
  }

  breakAs(epoch: number): void {
    const { call } = this;
    this.registerAs(epoch);
    call.emit('end');
  }
}

class FakeCall extends EventEmitter {
  readonly written: WorkerMessage[] = [];
  isCancelled = false;

  write(message: WorkerMessage): boolean {
    this.written.push(message);
    return true;
  }
  end(): void {}
  cancel(): void {
    this.isCancelled = true;
  }
  resume(): void {}
}

/** A stream whose pauses take no time, and what its listener was told. */
class Attached {
  readonly pauses: number[] = [];
  readonly coordinator = new FakeCoordinator();
  readonly registered: number[] = [];
  readonly messages: CoordinatorMessage__Output[] = [];
  readonly said: string[] = [];
  readonly stream: AttachStream;

  constructor() {
    const timers = {
      now: () => 0,
      monotonicMs: () => 0,
      setTimeout: (run: () => void, ms: number) => {
        this.pauses.push(ms);
        run();
        return { clear: () => undefined };
      },
      setInterval: () => ({ clear: () => undefined }),
    };
    this.stream = new AttachStream(
      { transport: this.coordinator, timers, random: () => 1 },
      {
        register: () => ({ register: {} }),
        registered: ({ epoch }) => this.registered.push(epoch),
        message: (message) => this.messages.push(message),
        refused: () => undefined,
        log: (_, message) => this.said.push(message),
      },
    );
    this.stream.open();
  }
}

/** @returns the pauses before the stream was opened again, one for each epoch as which it broke */
function pausesOver(epochs: readonly number[]): number[] {
  const { coordinator, pauses } = new Attached();
  for (const epoch of epochs) coordinator.breakAs(epoch);
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

describe('a coordinator that was taken over from', () => {
  const release = { release: { job: 'j' } };

  it.each([
    ['an earlier epoch', 4],
    ['a later epoch, which nobody has registered with', 6],
  ])('a message of %s is not taken, and ends the stream', (_, epoch) => {
    const { coordinator, messages, said } = new Attached();
    coordinator.registerAs(5);
    const { call } = coordinator;
    call.emit('data', { epoch: 5, ...release });
    expect(messages).toHaveLength(1);
    call.emit('data', { epoch, ...release });
    expect(call.isCancelled).toBe(true);
    // Nor is what it says after that.
    call.emit('data', { epoch: 5, ...release });
    expect(messages).toHaveLength(1);
    expect(said.join()).toContain(`speaks for epoch ${epoch}; epoch 5 has begun: it has been taken over from`);
    expect(coordinator.calls).toHaveLength(2);
  });

  it('is not registered with again: the worker remembers the newest epoch, and says it in its next registration', () => {
    const { coordinator, registered, stream } = new Attached();
    coordinator.breakAs(5);
    expect(coordinator.call.written[0]?.register).toMatchObject({ lastEpoch: 5, lastCoordinatorId: 'c' });
    const { call } = coordinator;
    coordinator.registerAs(4);
    expect(call.isCancelled).toBe(true);
    expect(registered).toEqual([5]);
    expect(stream.send({ draining: {} })).toBe(false);
    coordinator.registerAs(6);
    expect(registered).toEqual([5, 6]);
    stream.send({ draining: {} });
    expect(coordinator.call.written[1]).toMatchObject({ epoch: 6, draining: {} });
  });

  it('is another than one with a journal of its own, whose epochs count by themselves', () => {
    const { coordinator, registered, messages } = new Attached();
    coordinator.breakAs(5);
    coordinator.registerAs(1, 'another');
    coordinator.call.emit('data', { epoch: 1, ...release });
    expect(registered).toEqual([5, 1]);
    expect(messages).toHaveLength(1);
  });
});
