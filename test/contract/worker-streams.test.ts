/** Worker streams that must end: nobody reads, nobody says who it is, an epoch is over. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fromGrpc } from '../../coordinator/api/worker-stream.ts';
import type { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { WorkerMessage } from '../../shared/rpc/generated/secateur/v1/WorkerMessage.ts';
import { fromServiceError } from '../../shared/rpc/status.ts';
import type { AttachCall } from '../../worker/agent/attach-stream.ts';
import { type ServedWorkers, serveWorkers } from './workers-fixture.ts';

const HALF_MEBIBYTE = 'x'.repeat(512 * 1024);

const register = { worker: 'w1', incarnation: '1', provider: 'cpu', threads: 1, host: 'h' };

/** A stream of the worker, and with which error it ended. */
function attachTo(
  { client }: ServedWorkers,
  message: WorkerMessage,
): { stream: AttachCall; failed: Promise<SecateurError> } {
  const stream = client.attach();
  const failed = new Promise<SecateurError>((resolve) => {
    stream.on('error', (error: Error) => resolve(fromServiceError(error, 'the coordinator')));
  });
  stream.on('data', () => undefined);
  stream.write(message);
  return { stream, failed };
}

describe('a worker stream', () => {
  let folder: string;
  let served: ServedWorkers;
  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-streams-'));
    served = await serveWorkers(folder);
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
    stream.on('error', (error: Error) => errors.push(error));
    served.workers.attach(fromGrpc(stream as unknown as Parameters<typeof fromGrpc>[0]));
    vi.advanceTimersByTime(9_999);
    expect(errors).toEqual([]);
    vi.advanceTimersByTime(1);
    expect(errors.join()).toContain('expected Register within 10 s');
  });
});
