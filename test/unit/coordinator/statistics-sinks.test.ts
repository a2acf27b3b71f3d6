/** Files of statistics that came half: closed and removed when the worker comes back in another session. */
import { EventEmitter } from 'node:events';
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { WorkersService } from '../../../coordinator/api/workers-service.ts';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { fileStatistics } from '../../../coordinator/effects/statistics-store.ts';
import { SYSTEM_TIMERS } from '../../../shared/timers.ts';
import { Cluster, fakeManifest } from '../../simulation/cluster.ts';
import { seededRandom } from '../../support/seeded-random.ts';

class FakeStream extends EventEmitter {
  readonly writableLength = 0;
  write(): boolean {
    return true;
  }
  end(): void {}
  readonly failures: unknown[] = [];
  fail(reason: unknown): void {
    this.failures.push(reason);
  }
  pause(): void {}
  resume(): void {}
  isPaused(): boolean {
    return false;
  }
}

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A job whose first pass `w1` has the lease of, and the service that takes what workers say about it. */
function serve() {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-sinks-'));
  folders.push(folder);
  const cluster = new Cluster(3, seededRandom(1), 4);
  cluster.take({ type: 'coordinatorStarted' });
  const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
  cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
  cluster.attach('w1');
  while (!Object.values(cluster.job.leases).some(({ spec }) => spec.kind === 'pass')) cluster.advance();
  const { task, attempt, epoch } = Object.values(cluster.job.leases)[0] as (typeof cluster.job.leases)[string];
  const identity = { job: 'fake-1', task, attempt, epoch };
  const loop = {
    get state() {
      return cluster.state;
    },
    submit: async (event: CoreEvent) => cluster.take(event),
  };
  const service = new WorkersService({
    loop: loop as never,
    logs: { append: async () => true, lastSequence: async () => 0 },
    progress: { forget: () => undefined } as never,
    statistics: fileStatistics((job) => join(folder, job)),
    checkStaged: async () => undefined,
    coordinatorId: 'x',
    timers: SYSTEM_TIMERS,
    log: () => undefined,
  });
  const files = (): string[] => {
    const statistics = join(folder, 'fake-1/statistics');
    return existsSync(statistics) ? readdirSync(statistics) : [];
  };
  const register = { worker: 'w1', incarnation: '1', provider: 'cpu', tasks: [identity], holdings: [] };
  const attach = (stream: FakeStream): void => {
    service.attach(stream as never);
    stream.emit('data', { register: { ...register, lastEpoch: 0, lastCoordinatorId: '' } });
  };
  const say = (stream: FakeStream, sample: number, floats: number, seventh = 0): boolean => {
    const float32 = Buffer.alloc(4 * floats);
    if (seventh !== 0) float32.writeFloatLE(seventh, 4 * 7);
    return stream.emit('data', { epoch, statistics: { identity, layer: 0, sample, float32 } });
  };
  return { cluster, service, identity, files, attach, say };
}

it('statistics of a session that was replaced leave neither a file nor an open one', async () => {
  const { service, files, attach, say } = serve();
  try {
    const streams = [new FakeStream(), new FakeStream(), new FakeStream()];
    for (const [index, stream] of streams.entries()) {
      attach(stream);
      say(stream, 0, 10);
      await expect.poll(() => files().some((name) => name.endsWith(`-${index + 1}.samples.f32`))).toBe(true);
      streams[index - 1]?.emit('cancelled');
      await expect.poll(files).toHaveLength(1);
    }
  } finally {
    service.close();
  }
});

it.each([9, 11, 9.5, 0])(
  'of %d floats where the layer has 10, fail the task of that worker, and leave no file',
  async (floats) => {
    const { cluster, service, identity, files, attach, say } = serve();
    const stream = new FakeStream();
    try {
      attach(stream);
      for (const sample of [0, 1, 2, 3]) say(stream, sample, sample === 2 ? floats : 10);
      const pass = {
        tokens: 32,
        computeMs: 1,
        loadMs: 1,
        snapshotMs: 0,
        bytesRead: 1,
        peakResidentBytes: 1,
        snapshots: [],
        done: [{ first: 0, end: 4 }],
      };
      stream.emit('data', { epoch: identity.epoch, result: { identity, holdings: [], pass } });
      const failures = () => cluster.events.filter(({ entity, verb }) => entity === 'task' && verb === 'failed');
      await expect.poll(failures).toHaveLength(1);
      expect(failures()[0]?.data).toMatchObject({
        task: identity.task,
        worker: 'w1',
        code: 'EngineFailed',
        retried: true,
      });
      expect(failures()[0]?.data.message).toBe(
        `layer 0, sample 2: expected statistics of 10 floats, as wide as the inputs of its linears; found ${floats}`,
      );
      expect([cluster.job.phase, cluster.job.layers[0]?.parts]).toEqual(['Pruning', []]);
      await expect.poll(files).toEqual([]);
      expect(stream.failures).toEqual([]);
    } finally {
      service.close();
    }
  },
);

it.each([Number.NaN, Number.POSITIVE_INFINITY, -1])(
  'with a column of %d fail the task of that worker',
  async (value) => {
    const { cluster, service, identity, files, attach, say } = serve();
    const stream = new FakeStream();
    try {
      attach(stream);
      for (const sample of [0, 1, 2, 3]) say(stream, sample, 10, sample === 2 ? value : 0);
      const pass = {
        tokens: 32,
        computeMs: 1,
        loadMs: 1,
        snapshotMs: 0,
        bytesRead: 1,
        peakResidentBytes: 1,
        snapshots: [],
        done: [{ first: 0, end: 4 }],
      };
      stream.emit('data', { epoch: identity.epoch, result: { identity, holdings: [], pass } });
      const failures = () => cluster.events.filter(({ entity, verb }) => entity === 'task' && verb === 'failed');
      await expect.poll(failures).toHaveLength(1);
      const message = `layer 0, sample 2: expected finite sums of squares; found ${value} at column 7`;
      expect(failures()[0]?.data).toMatchObject({ worker: 'w1', code: 'EngineFailed', message, retried: true });
      expect([cluster.job.phase, cluster.job.layers[0]?.parts]).toEqual(['Pruning', []]);
      await expect.poll(files).toEqual([]);
    } finally {
      service.close();
    }
  },
);
