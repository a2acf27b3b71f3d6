/** One worker's messages: in order, one at a time, and no more of them in memory than the limit. */
import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { CallLimit } from '../../../coordinator/api/call-limit.ts';
import { MessageTurns, WAITING_MAX } from '../../../coordinator/api/message-turns.ts';

describe('MessageTurns', () => {
  it('pauses a flood while messages are being taken, and takes every one in order in the end', async () => {
    const count = 200;
    const gates = Array.from({ length: count }, () => Promise.withResolvers<void>());
    const taken: number[] = [];
    let most = 0;
    const stream = Readable.from(Array.from({ length: count }, (_, index) => index));
    const done = Promise.withResolvers<void>();
    const turns = new MessageTurns<number>(
      stream,
      async (message) => {
        await gates[message]?.promise;
        taken.push(message);
        if (message === count - 1) done.resolve();
      },
      (thrown) => done.reject(thrown),
    );
    stream.on('data', (message: number) => {
      turns.add(message);
      most = Math.max(most, turns.waiting);
    });
    await expect.poll(() => stream.isPaused()).toBe(true);
    expect(taken).toEqual([]);
    for (const gate of gates) gate.resolve();
    await done.promise;
    expect(taken).toEqual(Array.from({ length: count }, (_, index) => index));
    expect(most).toBe(WAITING_MAX);
  });

  it('goes on after a message that cannot be taken, and says why', async () => {
    const stream = Readable.from([1, 2]);
    const failures: unknown[] = [];
    const taken: number[] = [];
    const turns = new MessageTurns<number>(
      stream,
      async (message) => {
        if (message === 1) throw new Error('not this one');
        taken.push(message);
      },
      (thrown) => failures.push(thrown),
    );
    stream.on('data', (message: number) => turns.add(message));
    await expect.poll(() => taken).toEqual([2]);
    expect(failures).toEqual([new Error('not this one')]);
    expect(turns.waiting).toBe(0);
  });
});

describe('CallLimit', () => {
  it('refuses one call too many, and has room again when one has ended, once', () => {
    const limit = new CallLimit('readers', 2);
    const leave = limit.enter();
    limit.enter();
    expect(() => limit.enter()).toThrow(expect.objectContaining({ code: 'LimitExceeded', retryable: true }));
    leave();
    leave();
    limit.enter();
    expect(() => limit.enter()).toThrow(/2 readers are under way/);
  });
});
