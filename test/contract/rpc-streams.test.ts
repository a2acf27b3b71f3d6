import { afterEach, describe, expect, it } from 'vitest';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { clientStream, handleClientStream } from '../../shared/rpc/client-stream.ts';
import type { LogsResponse } from '../../shared/rpc/generated/secateur/v1/LogsResponse.ts';
import type { WriteArtifactRequest } from '../../shared/rpc/generated/secateur/v1/WriteArtifactRequest.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { handleServerStream, serverStream } from '../../shared/rpc/server-stream.ts';
import { codeOf, type RunningArtifacts, serve, until } from './artifacts-fixture.ts';
import { type RunningJobs, serveJobs } from './rpc-fixture.ts';

const HALF_MEBIBYTE = 'x'.repeat(512 * 1024);

let running: RunningJobs | RunningArtifacts | null = null;
afterEach(() => running?.close());

async function serveLogs(handler: (signal: AbortSignal) => AsyncIterable<LogsResponse>): Promise<RunningJobs> {
  const jobs = await serveJobs({ Logs: handleServerStream((_, signal) => handler(signal)) });
  running = jobs;
  return jobs;
}

function logsOf({ client }: RunningJobs, settings = {}): AsyncGenerator<LogsResponse, void> {
  return serverStream(client, SERVICES.Jobs.service.Logs, { job: 'x' }, { timeoutMs: 20_000, ...settings });
}

describe('a stream of responses', () => {
  it('arrives whole and in order, then ends', async () => {
    const jobs = await serveLogs(async function* () {
      for (let atMs = 0; atMs < 1000; atMs++) yield { atMs };
    });
    const seen: number[] = [];
    for await (const { atMs = -1 } of logsOf(jobs)) seen.push(atMs);
    expect(seen).toEqual(Array.from({ length: 1000 }, (_, index) => index));
  });

  it('is made no faster than it is read', async () => {
    let made = 0;
    const jobs = await serveLogs(async function* () {
      for (; made < 200; made++) yield { message: HALF_MEBIBYTE };
    });
    const stream = logsOf(jobs);
    await stream.next();
    // What may be under way: two windows of 4 MiB, and what either side's stream holds (16 and 4 messages).
    const aheadMax = 16 + 16 + 4 + 8;
    let before = -1;
    while (before !== made) {
      before = made;
      for (let turn = 0; turn < 200; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(made).toBeLessThan(aheadMax);
    let read = 1;
    for await (const { message } of stream) read += message === HALF_MEBIBYTE ? 1 : 0;
    expect(read).toBe(200);
  });

  it('ends with the error that the generator throws, after what it yielded before', async () => {
    const jobs = await serveLogs(async function* () {
      yield { atMs: 1 };
      throw new SecateurError('JobNotFound', 'gone');
    });
    const seen: LogsResponse[] = [];
    const read = async (): Promise<void> => {
      for await (const each of logsOf(jobs)) seen.push(each);
    };
    expect(await codeOf(read())).toBe('JobNotFound');
    expect(seen).toHaveLength(1);
  });

  it('ends its generator when the reader leaves, also while it has nothing to say', async () => {
    let cleaned = false;
    let aborted = false;
    const jobs = await serveLogs(async function* (signal) {
      try {
        yield { atMs: 1 };
        await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
        aborted = true;
        yield { atMs: 2 };
      } finally {
        cleaned = true;
      }
    });
    for await (const _ of logsOf(jobs)) break;
    await until(() => cleaned);
    expect(aborted).toBe(true);
  });

  it('ends its generator when the reader leaves in the middle of a flood', async () => {
    let cleaned = false;
    const jobs = await serveLogs(async function* () {
      try {
        for (;;) yield { message: HALF_MEBIBYTE };
      } finally {
        cleaned = true;
      }
    });
    for await (const _ of logsOf(jobs)) break;
    await until(() => cleaned);
  });

  it('is ended by its deadline, on both sides', async () => {
    let aborted = false;
    const jobs = await serveLogs(async function* (signal) {
      yield { atMs: 1 };
      await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()));
      aborted = true;
    });
    const read = async (): Promise<void> => {
      for await (const _ of logsOf(jobs, { timeoutMs: 100 }));
    };
    expect(await codeOf(read())).toBe('DeadlineExceeded');
    await until(() => aborted);
  });

  it("is ended by its caller's signal", async () => {
    const caller = new AbortController();
    const jobs = await serveLogs(async function* () {
      yield { atMs: 1 };
      await new Promise(() => undefined);
    });
    const read = async (): Promise<void> => {
      for await (const _ of logsOf(jobs, { timeoutMs: null, signal: caller.signal })) caller.abort();
    };
    expect(await codeOf(read())).toBe('Cancelled');
  });
});

describe('a stream of requests', () => {
  const { Write } = SERVICES.Artifacts.service;

  async function serveWrite(handler: Parameters<typeof handleClientStream>[0]): Promise<RunningArtifacts> {
    const artifacts = await serve({
      Read: handleServerStream(async function* () {}),
      Write: handleClientStream(handler as never),
    });
    running = artifacts;
    return artifacts;
  }

  async function* numbered(count: number): AsyncGenerator<WriteArtifactRequest> {
    for (let offset = 0; offset < count; offset++) yield { chunk: { offset, data: Buffer.alloc(1000) } };
  }

  it('arrives whole and in order before the answer', async () => {
    const seen: number[] = [];
    const { client } = await serveWrite(async (requests) => {
      for await (const { chunk } of requests as AsyncIterable<WriteArtifactRequest>) seen.push(chunk?.offset ?? -1);
      return { file: { name: String(seen.length) } };
    });
    const answer = await clientStream(client, Write, numbered(500), { timeoutMs: 20_000 });
    expect(answer.file?.name).toBe('500');
    expect(seen).toEqual(Array.from({ length: 500 }, (_, index) => index));
  });

  it('stops when the server refuses, whatever there still was to send', async () => {
    let made = 0;
    const { client } = await serveWrite(async () => {
      throw new SecateurError('StaleEpoch', 'no');
    });
    const endless = async function* (): AsyncGenerator<WriteArtifactRequest> {
      for (;;) {
        made += 1;
        yield { chunk: { data: Buffer.alloc(512 * 1024) } };
      }
    };
    expect(await codeOf(clientStream(client, Write, endless(), { timeoutMs: 20_000 }))).toBe('StaleEpoch');
    expect(made).toBeLessThan(100);
  });

  it("that breaks on the sender's side is Cancelled for the server, and the sender keeps its own error", async () => {
    const ended = Promise.withResolvers<unknown>();
    const reached = Promise.withResolvers<void>();
    const { client } = await serveWrite(async (requests) => {
      try {
        for await (const _ of requests) reached.resolve();
        ended.resolve('complete');
      } catch (thrown) {
        ended.resolve(thrown);
      }
      return {};
    });
    const breaking = async function* (): AsyncGenerator<WriteArtifactRequest> {
      yield* numbered(3);
      await reached.promise;
      throw new SecateurError('SourceChanged', 'my file is gone');
    };
    expect(await codeOf(clientStream(client, Write, breaking(), { timeoutMs: 20_000 }))).toBe('SourceChanged');
    expect(await ended.promise).toMatchObject({ code: 'Cancelled' });
  });

  it('with a message over 4 MiB is refused', async () => {
    const { client } = await serveWrite(async (requests) => {
      for await (const _ of requests);
      return {};
    });
    const big = async function* (): AsyncGenerator<WriteArtifactRequest> {
      yield { chunk: { data: Buffer.alloc(5 * 1024 * 1024) } };
    };
    expect(await codeOf(clientStream(client, Write, big(), { timeoutMs: 20_000 }))).toBe('LimitExceeded');
  });
});
