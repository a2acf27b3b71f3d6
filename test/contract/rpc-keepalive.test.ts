import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { createClient } from '../../shared/rpc/channel.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { serverStream } from '../../shared/rpc/server-stream.ts';
import { codeOf } from './artifacts-fixture.ts';

const SERVER = fileURLToPath(new URL('./rpc-stopped-server.ts', import.meta.url));
/** As in shared/rpc/channel.ts; this process's clock is virtual here, the connection and the server are real. */
const PING_INTERVAL_MS = 10_000;
const PING_TIMEOUT_MS = 5_000;

describe('keepalive', () => {
  let server: ChildProcess;
  let address = '';

  beforeAll(async () => {
    server = spawn(process.execPath, [SERVER], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(createInterface({ input: server.stdout as NodeJS.ReadableStream }), 'line');
    address = String(line);
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  });

  afterAll(() => {
    vi.useRealTimers();
    server.kill('SIGKILL');
  });

  it('tells a silent stream from a server that no longer runs (SIGSTOP): the call ends, without a deadline', async () => {
    const client = createClient(address, 'Jobs');
    const stream = serverStream(client, SERVICES.Jobs.service.Watch, { job: 'x' }, { timeoutMs: null });
    for (let ping = 0; ping < 5; ping++) {
      await vi.advanceTimersByTimeAsync(PING_INTERVAL_MS);
      // The second message was sent after the ping came, so the answer to the ping is there before it.
      for (let message = 0; message < 2; message++) expect((await stream.next()).done).toBe(false);
    }
    server.kill('SIGSTOP');
    const ended = codeOf(stream.next());
    await vi.advanceTimersByTimeAsync(PING_INTERVAL_MS);
    await vi.advanceTimersByTimeAsync(PING_TIMEOUT_MS);
    expect(await ended).toBe('Unavailable');
    client.close();
  });
});
