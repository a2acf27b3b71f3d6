/** An agent's lines while the coordinator is away: the newest are kept, in order, and the others are counted. */
import { describe, expect, it } from 'vitest';
import type { WorkerMessage } from '../../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { KEPT_CHARACTERS_MAX, KEPT_LINES_MAX, LogBuffer } from '../../../worker/agent/log-buffer.ts';

function sink(room = Number.POSITIVE_INFINITY) {
  const sent: WorkerMessage[] = [];
  return {
    sent,
    get takes() {
      return sent.length < room;
    },
    send: (message: WorkerMessage) => sent.push(message),
    messages: () => sent.flatMap((each) => each.logs?.lines ?? []).map((line) => line.message ?? ''),
  };
}

const line = (n: number, message = String(n)) => ({
  job: 'j',
  task: 't',
  source: 'engine',
  level: 'warn',
  atMs: n,
  message,
});

describe('LogBuffer', () => {
  it('sends what came while nobody took it, in order, once', () => {
    const buffer = new LogBuffer();
    const away = sink(0);
    for (let n = 0; n < 100; n++) {
      buffer.add(line(n));
      buffer.sendTo(away);
    }
    expect(away.sent).toEqual([]);
    const back = sink();
    buffer.sendTo(back);
    buffer.add(line(100));
    buffer.sendTo(back);
    expect(back.messages()).toEqual(Array.from({ length: 101 }, (_, n) => String(n)));
  });

  it('keeps the newest of too many lines and says how many it dropped', () => {
    const buffer = new LogBuffer();
    for (let n = 0; n < KEPT_LINES_MAX + 10; n++) buffer.add(line(n));
    const back = sink();
    buffer.sendTo(back);
    const [note, first] = back.messages();
    expect(note).toContain('(10 lines before this one were dropped');
    expect(first).toBe('10');
    expect(back.messages().at(-1)).toBe(String(KEPT_LINES_MAX + 9));
    expect(back.messages()).toHaveLength(KEPT_LINES_MAX + 1);
  });

  it('sends again on a new stream what was not acknowledged, with the same numbers, and nothing else', () => {
    const buffer = new LogBuffer();
    const first = sink();
    for (let n = 0; n < 10; n++) buffer.add(line(n));
    buffer.sendTo(first);
    buffer.acknowledge(4);
    buffer.sendTo(first);
    expect(first.messages()).toHaveLength(10);
    const second = sink();
    buffer.rewind();
    buffer.sendTo(second);
    const sequences = second.sent.flatMap(({ logs }) => logs?.lines ?? []).map(({ sequence }) => sequence);
    expect(second.messages()).toEqual(['4', '5', '6', '7', '8', '9']);
    expect(sequences).toEqual([5, 6, 7, 8, 9, 10]);
    buffer.acknowledge(10);
    const third = sink();
    buffer.rewind();
    buffer.sendTo(third);
    expect(third.sent).toEqual([]);
  });

  it('says on a new stream how many lines went, of those that were sent and not acknowledged', () => {
    const buffer = new LogBuffer();
    const first = sink();
    for (let n = 0; n < KEPT_LINES_MAX + 10; n++) {
      buffer.add(line(n));
      buffer.sendTo(first);
    }
    expect(first.messages()).toHaveLength(KEPT_LINES_MAX + 10);
    buffer.acknowledge(3);
    buffer.rewind();
    const second = sink();
    buffer.sendTo(second);
    const [note, next] = second.sent.flatMap(({ logs }) => logs?.lines ?? []);
    expect(note).toMatchObject({
      sequence: 10,
      message: expect.stringContaining('(7 lines before this one were dropped'),
    });
    expect(next).toMatchObject({ sequence: 11, message: '10' });
  });

  it('is bounded in characters as well, and sends batches far below a message’s limit', () => {
    const buffer = new LogBuffer();
    const long = 'x'.repeat(100_000);
    for (let n = 0; n < 500; n++) buffer.add(line(n, `${n} ${long}`));
    const back = sink();
    buffer.sendTo(back);
    const characters = back.messages().reduce((sum, message) => sum + message.length, 0);
    expect(characters).toBeLessThan(KEPT_CHARACTERS_MAX * 1.1);
    expect(back.messages().at(-1)).toMatch(/^499 x/);
    for (const { logs } of back.sent) expect(JSON.stringify(logs).length).toBeLessThan(200_000);
  });

  it('stops in the middle when the sink has enough, and goes on there', () => {
    const buffer = new LogBuffer();
    for (let n = 0; n < 100; n++) buffer.add(line(n, `${n} ${'x'.repeat(10_000)}`));
    const slow = sink(2);
    buffer.sendTo(slow);
    const rest = sink();
    buffer.sendTo(rest);
    const numbers = [...slow.messages(), ...rest.messages()].map((message) => Number(message.split(' ')[0]));
    expect(slow.sent).toHaveLength(2);
    expect(numbers).toEqual(Array.from({ length: 100 }, (_, n) => n));
  });
});
