import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createClient } from '../../shared/rpc/channel.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { serverStream } from '../../shared/rpc/server-stream.ts';
import { codeOf } from './artifacts-fixture.ts';

const SERVER = fileURLToPath(new URL('./rpc-stopped-server.ts', import.meta.url));

describe('keepalive', () => {
  let server: ChildProcess;
  let address = '';

  beforeAll(async () => {
    server = spawn(process.execPath, [SERVER], { stdio: ['pipe', 'pipe', 'inherit'] });
    const [line] = await once(createInterface({ input: server.stdout as NodeJS.ReadableStream }), 'line');
    address = String(line);
  });

  afterAll(() => {
    server.kill('SIGKILL');
  });

  it('tells a silent stream from a server that no longer runs (SIGSTOP): the call ends, without a deadline', async () => {
    const channelOptions = { 'grpc.keepalive_time_ms': 200, 'grpc.keepalive_timeout_ms': 300 };
    const client = createClient(address, 'Jobs', { channelOptions });
    const stream = serverStream(client, SERVICES.Jobs.service.Watch, { job: 'x' }, { timeoutMs: null });
    for (let message = 0; message < 10; message++) expect((await stream.next()).done).toBe(false);
    server.kill('SIGSTOP');
    expect(await codeOf(stream.next())).toBe('Unavailable');
    client.close();
  });
});
