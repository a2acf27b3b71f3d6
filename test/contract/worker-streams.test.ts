/** Workers that behave badly on a real stream: one that never reads, one that never says who it is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProgressTracker } from '../../coordinator/api/progress.ts';
import { fromGrpc } from '../../coordinator/api/worker-stream.ts';
import { WorkersService } from '../../coordinator/api/workers-service.ts';
import { fileStatistics } from '../../coordinator/effects/statistics-store.ts';
import { SYSTEM_DISK } from '../../coordinator/journal/disk.ts';
import { Journal } from '../../coordinator/journal/journal.ts';
import { JobLogs } from '../../coordinator/logs/job-logs.ts';
import { CoordinatorLoop } from '../../coordinator/loop.ts';
import { EventLog } from '../../coordinator/outbox/event-log.ts';
import { bindServer, createClient, createServer } from '../../shared/rpc/channel.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { SYSTEM_TIMERS } from '../../shared/timers.ts';

const HALF_MEBIBYTE = 'x'.repeat(512 * 1024);

interface Served {
  readonly loop: CoordinatorLoop;
  readonly workers: WorkersService;
  readonly said: string[];
  readonly client: ReturnType<typeof createClient<'Workers'>>;
  close(): Promise<void>;
}

async function serve(folder: string): Promise<Served> {
  const journal = await Journal.open({ disk: SYSTEM_DISK, directory: folder, nowMs: Date.now() });
  const loop = new CoordinatorLoop({
    journal,
    events: new EventLog({ disk: SYSTEM_DISK, stateDirectory: folder }),
    timers: SYSTEM_TIMERS,
    warn: () => undefined,
  });
  await loop.start({ run: () => undefined }, (reason) => {
    throw reason;
  });
  const said: string[] = [];
  const workers = new WorkersService({
    loop,
    logs: new JobLogs((job) => join(folder, job)),
    progress: new ProgressTracker(),
    statistics: fileStatistics((job) => join(folder, job)),
    coordinatorId: loop.coordinatorId,
    timers: SYSTEM_TIMERS,
    log: (_, message) => said.push(message),
  });
  const server = createServer();
  server.addService(SERVICES.Workers.service, {
    Attach: (stream: Parameters<typeof fromGrpc>[0]) => workers.attach(fromGrpc(stream)),
  });
  const client = createClient(await bindServer(server, '127.0.0.1:0'), 'Workers');
  return {
    loop,
    workers,
    said,
    client,
    close: async () => {
      client.close();
      server.forceShutdown();
      workers.close();
      await loop.stop();
      await journal.close();
    },
  };
}

const register = { worker: 'w1', incarnation: '1', provider: 'cpu', threads: 1, host: 'h' };

describe('a worker stream', () => {
  let folder: string;
  let served: Served;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-streams-'));
    served = await serve(folder);
  });
  afterEach(async () => {
    vi.useRealTimers();
    await served.close();
    rmSync(folder, { recursive: true, force: true });
  });

  it('that is written to and never read is ended, and its worker counts as detached', async () => {
    const { client, loop, said } = served;
    const stream = client.attach();
    stream.on('error', () => undefined);
    // Paused, not unread: a grpc-js stream that nobody listens to takes everything into its own memory.
    stream.on('data', () => stream.pause());
    stream.write({ register });
    await expect.poll(() => loop.state.workers.w1?.attached).toBe(true);
    // Each is answered with an acknowledgement as large as its task's name: two windows of 4 MiB and the limit fill.
    const identity = { job: 'none', task: HALF_MEBIBYTE, attempt: 1, epoch: 1 };
    const error = { code: 'Internal', message: '', retryable: false, detailsJson: '' };
    for (let index = 0; index < 120; index++) stream.write({ epoch: 1, result: { identity, error } });
    await expect.poll(() => loop.state.workers.w1?.attached, { timeout: 20_000 }).toBe(false);
    expect(said.join('\n')).toContain('worker w1: 64 messages wait for it and it reads none');
    stream.cancel();
  });

  it('under a name that is taken is refused with both processes and their hosts, and told of once', async () => {
    const { client, loop, said } = served;
    const first = client.attach();
    first.on('error', () => undefined).resume();
    first.write({ register: { ...register, processId: 12, host: 'host-a' } });
    await expect.poll(() => loop.state.workers.w1?.attached).toBe(true);
    for (let attempt = 0; attempt < 3; attempt++) {
      const refused = Promise.withResolvers<Error>();
      const second = client.attach();
      second.on('error', refused.resolve).resume();
      second.write({ register: { ...register, incarnation: '2', processId: 34, host: 'host-b' } });
      expect((await refused.promise).message).toContain('process 12 on host-a is attached under it');
    }
    const told = 'process 34 on host-b asks for this name, and process 12 on host-a is attached under it';
    expect(said.filter((line) => line.includes(told))).toHaveLength(1);
    first.cancel();
    await expect.poll(() => loop.state.workers.w1?.attached).toBe(false);
  });

  it('that falls silent is ended as a stream: there was no message to refuse', async () => {
    const { client, loop, said } = served;
    vi.spyOn(SYSTEM_TIMERS, 'monotonicMs').mockImplementation(
      () => performance.now() + (loop.state.workers.w1 ? 9_000 : 0),
    );
    const stream = client.attach();
    stream.on('error', () => undefined).resume();
    stream.write({ register });
    await expect
      .poll(() => said.join('\n'), { timeout: 5_000 })
      .toContain('the stream of worker w1 is ended: worker w1: not heard of for 8 s');
    await expect.poll(() => loop.state.workers.w1?.attached).toBe(false);
    vi.restoreAllMocks();
    stream.cancel();
  });

  it('that never registers is ended after its time', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const stream = new PassThrough({ objectMode: true });
    const errors: Error[] = [];
    stream.on('error', (error) => errors.push(error));
    served.workers.attach(fromGrpc(stream as unknown as Parameters<typeof fromGrpc>[0]));
    vi.advanceTimersByTime(9_999);
    expect(errors).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(errors.join()).toContain('expected Register within 10 s');
  });
});
