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
    expect((await stream.next()).value).toMatchObject({ eventJson: '{}' });
    const next = stream.next();
    const first = await Promise.race([next.then(() => 'message'), severalPings()]);
    expect(first).toBe('nothing, and the stream stands');
    server.kill('SIGSTOP');
    expect(await codeOf(next)).toBe('Unavailable');
    client.close();
  });
});

/** Long enough for pings that are answered; the stream must outlive them. */
async function severalPings(): Promise<string> {
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  return 'nothing, and the stream stands';
}
