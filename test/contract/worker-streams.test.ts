/** Workers that behave badly on a real stream: one that never reads, one that never says who it is. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fromGrpc } from '../../coordinator/api/worker-stream.ts';
import { type ServedWorkers, serveWorkers } from './workers-fixture.ts';

const HALF_MEBIBYTE = 'x'.repeat(512 * 1024);

const register = { worker: 'w1', incarnation: '1', provider: 'cpu', threads: 1, host: 'h' };

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
