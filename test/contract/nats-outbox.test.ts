/**
 * The outbox against a real nats-server: killed, absent, wiped, rolled back, and shared by two outboxes.
 *
 * The streams of these tests have a duplicate window of 100 ms, the shortest that there is, so that no test passes
 * because the server forgave a second publication.
 */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { AckPolicy, jetstream, jetstreamManager, type StreamConfig } from '@nats-io/jetstream';
import { connect, type NatsConnection, nanos } from '@nats-io/transport-node';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { EventLog } from '../../coordinator/outbox/event-log.ts';
import { NatsOutbox, type NatsOutboxOptions } from '../../coordinator/outbox/nats-outbox.ts';
import { NatsStream } from '../../coordinator/outbox/nats-stream.ts';
import { eventId, fromCloudEvent, natsSubject } from '../../shared/events/cloud-event.ts';
import { emptyEventLog } from '../support/empty-event-log.ts';
import { findNatsServer, freePort, type NatsServer, startNatsServer } from '../support/nats-server.ts';
import { sampleEvent } from './sample-event.ts';

const STREAM = 'SECATEUR';
const source = await findNatsServer();
const reason = source.kind === 'none' ? ` (skipped: ${source.why})` : '';

describe.skipIf(source.kind === 'none')(`the NATS outbox against a real nats-server${reason}`, () => {
  let folder: string;
  let server: NatsServer;
  const outboxes: NatsOutbox[] = [];

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'secateur-outbox-'));
    server = await startNatsServer(source);
  });

  afterEach(async () => {
    await Promise.all(outboxes.splice(0).map((outbox) => outbox.stop(0)));
    await server.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function start(log: EventLog, options: Partial<NatsOutboxOptions> = {}): Promise<NatsOutbox> {
    const outbox = await NatsOutbox.start({
      servers: server.url,
      log,
      cursorFile: join(folder, 'cursors.json'),
      retry: { initialMs: 10, maxMs: 100 },
      ...options,
    });
    outboxes.push(outbox);
    return outbox;
  }

  const published = (outbox: NatsOutbox) =>
    until('everything is published', () => outbox.status().connected && outbox.status().pending === 0);

  /** The ids in the stream, once it has so many and the outbox claims to be done. */
  async function idsOnce(outbox: NatsOutbox, count: number): Promise<string[]> {
    // The stream may not be there yet.
    const held = () =>
      streamInfo(server.url).then(
        ({ state }) => state.messages,
        () => 0,
      );
    await until(`the stream holds ${count}`, async () => (await held()) >= count);
    await published(outbox);
    return idsInStream(server.url);
  }

  it('publishes events in order, as CloudEvents with their ids, and creates the stream', async () => {
    const log = logOf('a', 20);
    const outbox = await start(log);
    await published(outbox);
    appendTo(log, 'a', 25);
    await published(outbox);

    const messages = await readStream(server.url);
    expect(messages.map((message) => message.id)).toEqual(idsUpTo('a', 25));
    for (const [index, message] of messages.entries()) {
      const event = sampleEvent('a', index + 1);
      expect(message.subject).toBe(natsSubject(event));
      expect(message.contentType).toBe('application/cloudevents+json');
      expect(fromCloudEvent(message.body)).toEqual(event);
    }
    const { config } = await streamInfo(server.url);
    expect(config).toMatchObject({ subjects: ['secateur.>'], storage: 'file', retention: 'limits' });
    expect(config.duplicate_window).toBe(nanos(24 * 60 * 60 * 1000));
    expect(outbox.status()).toEqual({ connected: true, lastError: undefined, pending: 0 });
  });

  it('keeps two interleaved jobs each in order, and 5,000 events complete', async () => {
    const log = emptyEventLog();
    for (let sequence = 1; sequence <= 2500; sequence += 1) {
      log.append(sampleEvent('a', sequence));
      log.append(sampleEvent('b', sequence));
    }
    await published(await start(log));
    const ids = (await readStream(server.url)).map((message) => message.id);
    expect(ids).toHaveLength(5000);
    expect(ids.filter((id) => id.startsWith('a:'))).toEqual(idsUpTo('a', 2500));
    expect(ids.filter((id) => id.startsWith('b:'))).toEqual(idsUpTo('b', 2500));
  });

  it('starts without NATS, says so, and publishes once NATS is there', async () => {
    await server.kill();
    const log = logOf('a', 10);
    const outbox = await start(log);
    await until('the failure is reported', () => outbox.status().lastError !== undefined);
    expect(outbox.status()).toMatchObject({ connected: false, pending: 10 });
    expect(outbox.status().lastError).toMatchObject({ code: 'Unavailable', retryable: true });
    appendTo(log, 'a', 12);
    await server.restart();
    await published(outbox);
    expect(outbox.status().lastError).toBeUndefined();
    expect(await idsInStream(server.url)).toEqual(idsUpTo('a', 12));
  });

  it('goes on where it was when the server is killed again and again while events are made', async () => {
    await createStream(server.url);
    const log = logOf('a', 1);
    const outbox = await start(log);
    for (const target of [400, 800, 1200]) {
      appendTo(log, 'a', target);
      await until('some of them are out', () => outbox.status().pending < 300);
      await server.kill();
      appendTo(log, 'a', target + 50);
      await until('the loss is noticed', () => !outbox.status().connected);
      await server.restart();
      await until('it is back', () => outbox.status().connected);
    }
    expect(await idsOnce(outbox, 1250)).toEqual(idsUpTo('a', 1250));
  });

  it('fills a stream that lost its store with all events, once and in order', async () => {
    const log = logOf('a', 30);
    const outbox = await start(log);
    await published(outbox);
    await server.kill();
    await server.wipeStore();
    appendTo(log, 'a', 40);
    await until('the loss is noticed', () => !outbox.status().connected);
    await server.restart();
    expect(await idsOnce(outbox, 40)).toEqual(idsUpTo('a', 40));
  });

  it('fills a stream again that was deleted while nothing was published', async () => {
    const log = logOf('a', 30);
    await published(await start(log, { auditMs: 20 }));
    await withManager(server.url, (manager) => manager.streams.delete(STREAM));
    await until('the stream is filled', async () => (await idsInStream(server.url).catch(() => [])).length === 30);
    expect(await idsInStream(server.url)).toEqual(idsUpTo('a', 30));
  });

  it('sends again what a power cut took from the server after it had acknowledged', async () => {
    await createStream(server.url);
    const log = logOf('a', 30);
    const outbox = await start(log);
    await published(outbox);
    await server.kill();
    await server.saveStore(join(folder, 'saved'));
    await server.restart();
    appendTo(log, 'a', 60);
    await until('it is back', () => outbox.status().connected);
    await published(outbox);
    await server.kill();
    await server.restoreStore(join(folder, 'saved'));
    await until('the loss is noticed', () => !outbox.status().connected);
    await server.restart();
    expect(await idsOnce(outbox, 60)).toEqual(idsUpTo('a', 60));
  });

  it('leaves no duplicate and no gap when its process is killed in the middle', async () => {
    await createStream(server.url);
    const cursorFile = join(folder, 'killed.json');
    const program = join(import.meta.dirname, 'nats-outbox-process.ts');
    const child = spawn(process.execPath, [program, server.url, cursorFile, '3000'], { stdio: 'inherit' });
    await until('it is in the middle', async () => (await streamInfo(server.url)).state.messages > 300);
    const exited = once(child, 'exit');
    child.kill('SIGKILL');
    await exited;
    const after = (await streamInfo(server.url)).state.messages;
    expect(after).toBeLessThan(3000);
    await published(await start(logOf('killed', 3000), { cursorFile }));
    expect(await idsInStream(server.url)).toEqual(idsUpTo('killed', 3000));
  });

  it('leaves no duplicate and no gap when two outboxes with different cursors publish the same job at once', async () => {
    await createStream(server.url);
    const log = logOf('a', 300);
    const both = await Promise.all([
      start(log, { cursorFile: join(folder, 'one.json') }),
      start(log, { cursorFile: join(folder, 'two.json') }),
    ]);
    await Promise.all(both.map(published));
    expect(await idsInStream(server.url)).toEqual(idsUpTo('a', 300));
  });

  it('does not send again what the limits of the stream evicted, also after a restart', async () => {
    await createStream(server.url, { max_msgs: 5 });
    const log = logOf('a', 20);
    const first = await start(log);
    await published(first);
    await first.stop();
    await withManager(server.url, (manager) => manager.streams.purge(STREAM));
    const second = await start(log);
    appendTo(log, 'a', 22);
    await published(second);
    expect(await idsInStream(server.url)).toEqual(['a:21', 'a:22']);
  });

  it('publishes what is left when it is stopped', async () => {
    const log = logOf('a', 500);
    const outbox = await start(log);
    await outbox.stop(30_000);
    expect(outbox.status().pending).toBe(0);
    expect(await idsInStream(server.url)).toEqual(idsUpTo('a', 500));
  });

  it('stops without NATS after one last attempt, long before its deadline', async () => {
    await server.kill();
    const outbox = await start(logOf('a', 5), { retry: { initialMs: 3_600_000, maxMs: 3_600_000 } });
    await until('the failure is reported', () => outbox.status().lastError !== undefined);
    await outbox.stop(3_600_000);
    expect(outbox.status()).toMatchObject({ connected: false, pending: 5 });
  });

  it('uses a stream that exists as it is, and says what to do where its subjects are others', async () => {
    await createStream(server.url, { subjects: ['orders.>'] });
    const outbox = await start(logOf('a', 3));
    await until('the refusal is reported', () => outbox.status().lastError !== undefined);
    const { lastError, pending } = outbox.status();
    expect(lastError).toMatchObject({ retryable: false, message: expect.stringContaining('nats stream edit') });
    expect(pending).toBe(3);
    expect((await streamInfo(server.url)).config.subjects).toEqual(['orders.>']);
    await withManager(server.url, (manager) =>
      manager.streams.update(STREAM, { subjects: ['orders.>', 'secateur.>'] }),
    );
    await published(outbox);
    expect(outbox.status().lastError).toBeUndefined();
    expect(await idsInStream(server.url)).toEqual(idsUpTo('a', 3));
  });

  it('says what to do where another stream already has the subjects', async () => {
    await createStream(server.url, { name: 'OTHER' });
    const outbox = await start(logOf('a', 3));
    await until('the refusal is reported', () => outbox.status().lastError !== undefined);
    expect(outbox.status().lastError?.message).toContain('Another stream already receives');
  });

  it('lets other jobs pass where one event is too big for the stream', async () => {
    await createStream(server.url, { max_msg_size: 2_000 });
    const log = logOf('big', 1);
    log.append({ ...sampleEvent('big', 2), data: { text: 'x'.repeat(4_000) } });
    appendTo(log, 'small', 50);
    let sessions = 0;
    const logger = { info: () => (sessions += 1), warn: () => {} };
    const outbox = await start(log, { logger });
    await until('all but one are out', () => outbox.status().pending === 1);
    await until('the refusal is reported', () => outbox.status().lastError !== undefined);
    expect(outbox.status().lastError?.message).toContain('maximum message size');
    appendTo(log, 'small', 60);
    await until('the other job goes on', () => outbox.status().pending === 1);
    expect(sessions).toBe(1);
    await withManager(server.url, (manager) => manager.streams.update(STREAM, { max_msg_size: -1 }));
    await published(outbox);
    const ids = await idsInStream(server.url);
    expect(ids.filter((id) => id.startsWith('big:'))).toEqual(idsUpTo('big', 2));
    expect(ids.filter((id) => id.startsWith('small:'))).toEqual(idsUpTo('small', 60));
  });

  it('waits for JetStream where the server runs without it', async () => {
    const port = await freePort();
    const outbox = await start(logOf('a', 3), { servers: `nats://127.0.0.1:${port}` });
    const plain = await startNatsServer(source, { port, jetStream: false });
    await until('it says what is missing', () => /jetstream/i.test(outbox.status().lastError?.message ?? ''));
    await plain.stop();
    const full = await startNatsServer(source, { port });
    await published(outbox);
    expect(await idsInStream(full.url)).toEqual(idsUpTo('a', 3));
    await outbox.stop();
    await full.stop();
  });

  it('costs the coordinator nothing but the log while NATS is away: an append returns at once', async () => {
    await server.kill();
    const log = emptyEventLog();
    const outbox = await start(log);
    appendTo(log, 'a', 5000);
    expect(outbox.status().pending).toBe(5000);
  });

  it('relies on a server that compares and stores in one step, per subject', async () => {
    await createStream(server.url);
    const stream = await NatsStream.open({ servers: server.url, stream: STREAM, replicas: 1 });
    const [first, other, later] = [sampleEvent('a', 2), sampleEvent('a', 3), sampleEvent('a', 7)];
    expect(natsSubject(later)).toBe(natsSubject(first));
    expect(await stream.append(first, 0)).toEqual({ kind: 'stored', streamSequence: 1 });
    expect(await stream.append(other, 0)).toEqual({ kind: 'stored', streamSequence: 2 });
    expect(await stream.append(later, 0)).toEqual({ kind: 'moved' });
    expect(await stream.append(later, 1)).toEqual({ kind: 'stored', streamSequence: 3 });
    expect(await stream.lastOn('secateur.test.a.>')).toEqual({ streamSequence: 3, id: 'a:7' });
    expect(await stream.lastOn(natsSubject(other))).toEqual({ streamSequence: 2, id: 'a:3' });
    expect(await stream.lastOn('secateur.test.b.>')).toBeUndefined();
    expect(await stream.at(9)).toBeUndefined();
    expect(await stream.state()).toMatchObject({ firstSequence: 1, lastSequence: 3, subjects: ['secateur.>'] });
    await stream.close();
  });

  it('notices at an acknowledgement that the stream was made again', async () => {
    await createStream(server.url);
    const stream = await NatsStream.open({ servers: server.url, stream: STREAM, replicas: 1 });
    for (const sequence of [1, 2, 3]) await stream.append(sampleEvent('a', sequence), 0);
    await withManager(server.url, (manager) => manager.streams.delete(STREAM));
    await createStream(server.url);
    await expect(stream.append(sampleEvent('b', 1), 0)).rejects.toMatchObject({ code: 'Unavailable', retryable: true });
    await stream.close();
  });

  it('feeds a durable consumer that comes back: it misses nothing and can prove it', async () => {
    const log = logOf('a', 10);
    const outbox = await start(log);
    await published(outbox);
    const seen: number[] = [];
    const watch = (count: number) =>
      withConnection(server.url, async (connection) => {
        const manager = await jetstreamManager(connection);
        await manager.consumers.add(STREAM, {
          durable_name: 'watcher',
          ack_policy: AckPolicy.Explicit,
          filter_subject: 'secateur.test.a.>',
        });
        const consumer = await jetstream(connection).consumers.get(STREAM, 'watcher');
        for await (const message of await consumer.fetch({ max_messages: count, expires: 10_000 })) {
          seen.push(fromCloudEvent(message.json()).sequence);
          await message.ackAck();
        }
      });
    await watch(4);
    appendTo(log, 'a', 15);
    await published(outbox);
    await watch(11);
    expect(seen).toEqual(Array.from({ length: 15 }, (_, index) => index + 1));
  });
});

function logOf(job: string, count: number): EventLog {
  const log = emptyEventLog();
  appendTo(log, job, count);
  return log;
}

function appendTo(log: EventLog, job: string, last: number): void {
  for (let sequence = log.lastSequence(job) + 1; sequence <= last; sequence += 1)
    log.append(sampleEvent(job, sequence));
}

const idsUpTo = (job: string, count: number) => Array.from({ length: count }, (_, index) => eventId(job, index + 1));

/** Waits for a condition; the test's own timeout ends it. */
async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const giveUpAtMs = performance.now() + 60_000;
  while (!(await condition())) {
    if (performance.now() > giveUpAtMs) throw new Error(`waited in vain until ${what}`);
    await sleep(2);
  }
}

async function withConnection<T>(url: string, use: (connection: NatsConnection) => Promise<T>): Promise<T> {
  const connection = await connect({ servers: url });
  try {
    return await use(connection);
  } finally {
    await connection.close();
  }
}

function withManager<T>(url: string, use: (manager: Awaited<ReturnType<typeof jetstreamManager>>) => Promise<T>) {
  return withConnection(url, async (connection) => use(await jetstreamManager(connection)));
}

const streamInfo = (url: string) => withManager(url, (manager) => manager.streams.info(STREAM));

function createStream(url: string, config: Partial<StreamConfig> = {}) {
  return withManager(url, (manager) =>
    manager.streams.add({
      name: STREAM,
      subjects: ['secateur.>'],
      duplicate_window: nanos(100),
      ...config,
    } as StreamConfig & { name: string }),
  );
}

interface Message {
  readonly id: string;
  readonly subject: string;
  readonly contentType: string;
  readonly body: unknown;
}

/** Everything in the stream, in its order. */
function readStream(url: string): Promise<Message[]> {
  return withConnection(url, async (connection) => {
    const manager = await jetstreamManager(connection);
    const total = (await manager.streams.info(STREAM)).state.messages;
    const messages: Message[] = [];
    if (total === 0) return messages;
    const consumer = await jetstream(connection).consumers.get(STREAM);
    for await (const message of await consumer.fetch({ max_messages: total, expires: 30_000 })) {
      messages.push({
        id: message.headers?.get('Nats-Msg-Id') ?? '',
        subject: message.subject,
        contentType: message.headers?.get('content-type') ?? '',
        body: message.json(),
      });
      if (messages.length === total) break;
    }
    return messages;
  });
}

const idsInStream = async (url: string) => (await readStream(url)).map((message) => message.id);
