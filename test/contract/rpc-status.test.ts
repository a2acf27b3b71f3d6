import { afterEach, describe, expect, it } from 'vitest';
import { ERROR_TABLE, type ErrorCode, SecateurError } from '../../shared/errors/secateur-error.ts';
import { bindServer, createClient, createServer } from '../../shared/rpc/channel.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { fromServiceError, toServiceError } from '../../shared/rpc/status.ts';
import { handleUnary, unary } from '../../shared/rpc/unary.ts';
import { errorOf } from './artifacts-fixture.ts';
import { type RunningJobs, serveJobs } from './rpc-fixture.ts';

let running: RunningJobs | null = null;
afterEach(() => running?.close());

/** What a client gets when the handler throws this. */
async function throughTheWire(thrown: unknown): Promise<SecateurError> {
  running = await serveJobs({
    Get: handleUnary(() => {
      throw thrown;
    }),
  });
  return errorOf(unary(running.client, SERVICES.Jobs.service.Get, { job: 'x' }, { timeoutMs: 10_000 }));
}

describe('an error over the wire', () => {
  it.each(Object.keys(ERROR_TABLE) as ErrorCode[])(
    'keeps its code, message, details and retryable: %s',
    async (code) => {
      const details = { job: 'x', count: 3, list: ['a', 'b'], none: null, yes: true };
      for (const retryable of [true, false]) {
        const restored = await throughTheWire(
          new SecateurError(code, `${code}: naïve "quotes", 100 %, ÿ€😀\nline 2`, { retryable, details }),
        );
        expect(restored.code).toBe(code);
        expect(restored.message).toBe(`${code}: naïve "quotes", 100 %, ÿ€😀\nline 2`);
        expect(restored.retryable).toBe(retryable);
        expect(restored.details).toEqual(details);
        running?.close();
      }
    },
  );

  it('has the status of the table, for clients that are no secateur', () => {
    for (const [code, { grpcStatus }] of Object.entries(ERROR_TABLE)) {
      const error = toServiceError(new SecateurError(code as ErrorCode, 'why'));
      expect([error.code, error.details]).toEqual([grpcStatus, 'why']);
    }
  });

  it('loses details and the end of its message, never its code, when it is too long for a trailer', async () => {
    const restored = await throughTheWire(
      new SecateurError('ManifestInvalid', `begin ${'€'.repeat(100_000)}`, {
        retryable: true,
        details: { big: 'x'.repeat(100_000) },
      }),
    );
    expect(restored.code).toBe('ManifestInvalid');
    expect(restored.retryable).toBe(true);
    expect(restored.details).toEqual({});
    expect(restored.message).toMatch(/^begin €+…$/);
  });

  it('keeps a message of four thousand characters whole', async () => {
    const message = 'a line of a manifest\n'.repeat(200);
    expect((await throughTheWire(new SecateurError('ManifestInvalid', message))).message).toBe(message);
  });

  it('survives text that is no valid Unicode', async () => {
    const restored = await throughTheWire(new SecateurError('SourceMissing', 'name \ud800 half'));
    expect(restored.code).toBe('SourceMissing');
    expect(restored.message).toContain('name ');
  });

  it('that a programmer did not foresee is Internal', async () => {
    expect((await throughTheWire(new TypeError('x is not a function'))).code).toBe('Internal');
    const full = await throughTheWire(Object.assign(new Error('write'), { code: 'ENOSPC' }));
    expect(full.code).toBe('StorageFull');
  });

  it('of a peer that sends rubbish in our trailer is told by its status', () => {
    const error = toServiceError(new SecateurError('JobNotFound', 'gone'));
    for (const rubbish of ['', '{', '[]', 'null', '{"code":"NoSuchCode"}', '{"code":"toString"}', '{"code":7}']) {
      error.metadata.set('secateur-error-bin', Buffer.from(rubbish));
      expect(fromServiceError(error, 'h:1').code).toBe('Internal');
    }
  });
});

describe('a call that the transport fails', () => {
  it('to a port where nobody listens: Unavailable, with the address and what to do', async () => {
    const server = createServer();
    const address = await bindServer(server, '127.0.0.1:0');
    server.forceShutdown();
    const client = createClient(address, 'Jobs');
    const error = await errorOf(unary(client, SERVICES.Jobs.service.Get, { job: 'x' }, { timeoutMs: 10_000 }));
    client.close();
    expect(error.code).toBe('Unavailable');
    expect(error.retryable).toBe(true);
    expect(error.message).toContain(address);
    expect(error.message).toContain('Check that the coordinator runs');
  });

  it('without an answer in time: DeadlineExceeded, with the address', async () => {
    running = await serveJobs({ Get: handleUnary(() => new Promise(() => undefined)) });
    const error = await errorOf(unary(running.client, SERVICES.Jobs.service.Get, {}, { timeoutMs: 50 }));
    expect(error.code).toBe('DeadlineExceeded');
    expect(error.retryable).toBe(true);
    expect(error.message).toContain(running.address);
  });

  it('because its caller gave it up: Cancelled', async () => {
    const reached = Promise.withResolvers<void>();
    running = await serveJobs({
      Get: handleUnary(() => {
        reached.resolve();
        return new Promise(() => undefined);
      }),
    });
    const caller = new AbortController();
    const call = errorOf(
      unary(running.client, SERVICES.Jobs.service.Get, {}, { timeoutMs: 10_000, signal: caller.signal }),
    );
    await reached.promise;
    caller.abort();
    expect((await call).code).toBe('Cancelled');
  });

  it('that the server does not know: told as a difference of versions', async () => {
    running = await serveJobs({});
    const error = await errorOf(unary(running.client, SERVICES.Jobs.service.List, {}, { timeoutMs: 10_000 }));
    expect(error.code).toBe('Internal');
    expect(error.message).toContain('version');
  });

  it('with a request over 4 MiB: LimitExceeded', async () => {
    running = await serveJobs({ Submit: handleUnary(() => ({})) });
    const manifestJson = 'x'.repeat(4 * 1024 * 1024);
    const error = await errorOf(
      unary(running.client, SERVICES.Jobs.service.Submit, { manifestJson }, { timeoutMs: 10_000 }),
    );
    expect(error.code).toBe('LimitExceeded');
  });

  it('with a response over 4 MiB: LimitExceeded', async () => {
    running = await serveJobs({ Plan: handleUnary(() => ({ planJson: 'x'.repeat(4 * 1024 * 1024) })) });
    const error = await errorOf(unary(running.client, SERVICES.Jobs.service.Plan, {}, { timeoutMs: 10_000 }));
    expect(error.code).toBe('LimitExceeded');
  });
});

describe('a server', () => {
  it('that cannot have its address says which and why', async () => {
    const first = createServer();
    const address = await bindServer(first, '127.0.0.1:0');
    const error = await errorOf(bindServer(createServer(), address));
    first.forceShutdown();
    expect(error.code).toBe('Unavailable');
    expect(error.message).toContain(address);
  });
});
