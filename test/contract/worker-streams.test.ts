/** Worker streams that must end: nobody reads, nobody says who it is, an epoch is over. */
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
import type { SecateurError } from '../../shared/errors/secateur-error.ts';
import { bindServer, createClient, createServer } from '../../shared/rpc/channel.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { SERVICES } from '../../shared/rpc/load-protos.ts';
import { fromServiceError } from '../../shared/rpc/status.ts';
import { SYSTEM_TIMERS } from '../../shared/timers.ts';
import type { AttachCall } from '../../worker/agent/attach-stream.ts';

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

/** A stream of the worker, and with which error it ended. */
function attachTo({ client }: Served, message: WorkerMessage): { stream: AttachCall; failed: Promise<SecateurError> } {
  const stream = client.attach();
  const failed = new Promise<SecateurError>((resolve) => {
    stream.on('error', (error) => resolve(fromServiceError(error, 'the coordinator')));
  });
  stream.on('data', () => undefined);
  stream.write(message);
  return { stream, failed };
}

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

  it.each([
    ['before', 0],
    ['after', 2],
  ])('on which a message of the epoch %s this one comes is ended, and the message is not taken', async (_, epoch) => {
    const { stream, failed } = attachTo(served, { register });
    await expect.poll(() => served.loop.state.workers.w1?.attached).toBe(true);
    stream.write({ epoch, draining: {} });
    expect(await failed).toMatchObject({ code: 'StaleEpoch', details: { worker: 'w1', found: epoch, expected: 1 } });
    await expect.poll(() => served.loop.state.workers.w1?.attached).toBe(false);
    expect(served.loop.state.workers.w1?.draining).toBe(false);
  });

  it('of a worker that has served a later epoch of this journal is refused: another process goes on with it', async () => {
    const { loop } = served;
    const seen = { ...register, lastEpoch: 2, lastCoordinatorId: loop.coordinatorId };
    const { failed } = attachTo(served, { register: seen });
    expect(await failed).toMatchObject({ code: 'StaleEpoch', details: { worker: 'w1', lastEpoch: 2, epoch: 1 } });
    expect(loop.state.workers).toEqual({});
  });

  it.each([
    ['this epoch of this journal', 1, true],
    ['a later epoch of another journal', 7, false],
  ])('of a worker that has served %s is taken', async (_, lastEpoch, isOurs) => {
    const { loop } = served;
    const lastCoordinatorId = isOurs ? loop.coordinatorId : 'another';
    const { stream } = attachTo(served, { register: { ...register, lastEpoch, lastCoordinatorId } });
    await expect.poll(() => loop.state.workers.w1?.attached).toBe(true);
    stream.cancel();
    await expect.poll(() => loop.state.workers.w1?.attached).toBe(false);
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
