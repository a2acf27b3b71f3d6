/** Files of statistics that came half: closed and removed when the worker comes back in another session. */
import { existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { fileStatistics } from '../../../coordinator/effects/statistics-store.ts';
import { SYSTEM_TIMERS } from '../../../shared/timers.ts';
import { Cluster, fakeManifest } from '../../simulation/cluster.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { FakeStream, serveCluster } from '../../support/served-cluster.ts';

/** Of the workers of a simulated cluster. */
const VERSIONS = { version: '0', engineVersion: '0' };

/** Of a pass over microbatches 0 to 3, all that the job has. */
const PASS_RESULT = {
  tokens: 32,
  computeMs: 1,
  loadMs: 1,
  snapshotMs: 0,
  bytesRead: 1,
  peakResidentBytes: 1,
  snapshots: [],
  done: [{ first: 0, end: 4 }],
};

const folders: string[] = [];
afterAll(() => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true });
});

/** A job whose first such pass `w1` has the lease of, and the service that takes what workers say about it. */
function serve(measured: 'statistics' | 'hessian' = 'statistics') {
  const folder = mkdtempSync(join(tmpdir(), 'secateur-sinks-'));
  folders.push(folder);
  const cluster = new Cluster(3, seededRandom(1), 4);
  cluster.take({ type: 'coordinatorStarted' });
  const manifest = fakeManifest({
    propagate: 'pruned',
    stages: 1,
    method: measured === 'hessian' ? 'sparsegpt' : 'wanda',
  });
  cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
  cluster.attach('w1');
  while (!Object.values(cluster.job.leases).some(({ spec }) => spec.kind === 'pass' && spec[measured]))
    cluster.advance();
  const { task, attempt, epoch } = Object.values(cluster.job.leases)[0] as (typeof cluster.job.leases)[string];
  const identity = { job: 'fake-1', task, attempt, epoch };
  const service = serveCluster(cluster, {
    progress: { forget: () => undefined } as never,
    statistics: fileStatistics((job) => join(folder, job)),
    timers: SYSTEM_TIMERS,
  });
  const files = (): string[] => {
    const statistics = join(folder, 'fake-1/statistics');
    return existsSync(statistics) ? readdirSync(statistics) : [];
  };
  const register = { worker: 'w1', incarnation: '1', provider: 'cpu', tasks: [identity], holdings: [], ...VERSIONS };
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

const failuresOf = ({ events }: Cluster) => events.filter(({ entity, verb }) => entity === 'task' && verb === 'failed');

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
      stream.emit('data', { epoch: identity.epoch, result: { identity, holdings: [], pass: PASS_RESULT } });
      await expect.poll(() => failuresOf(cluster)).toHaveLength(1);
      expect(failuresOf(cluster)[0]?.data).toMatchObject({
        task: identity.task,
        worker: 'w1',
        code: 'EngineFailed',
        retried: true,
      });
      expect(failuresOf(cluster)[0]?.data.message).toBe(
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
      stream.emit('data', { epoch: identity.epoch, result: { identity, holdings: [], pass: PASS_RESULT } });
      await expect.poll(() => failuresOf(cluster)).toHaveLength(1);
      const message = `layer 0, sample 2: expected finite sums of squares; found ${value} at column 7`;
      expect(failuresOf(cluster)[0]?.data).toMatchObject({
        worker: 'w1',
        code: 'EngineFailed',
        message,
        retried: true,
      });
      expect([cluster.job.phase, cluster.job.layers[0]?.parts]).toEqual(['Pruning', []]);
      await expect.poll(files).toEqual([]);
    } finally {
      service.close();
    }
  },
);

it('worker streams over all connections are at most 2048', () => {
  const { service } = serve();
  try {
    const streams = Array.from({ length: 2_049 }, () => new FakeStream());
    for (const stream of streams) service.attach(stream as never);
    expect(streams.flatMap(({ failures }) => failures)).toMatchObject([{ code: 'LimitExceeded' }]);
    expect(streams.at(-1)?.failures).toHaveLength(1);
    streams[0]?.emit('cancelled');
    const next = new FakeStream();
    service.attach(next as never);
    expect(next.failures).toEqual([]);
  } finally {
    service.close();
  }
});

it.each([
  ['none', undefined],
  ['another', 'hessians/00000-e1-a99.safetensors'],
])('a pass that was to bring Hessians and names %s as its file fails; its own is taken', async (_, other) => {
  const { cluster, service, identity, attach } = serve('hessian');
  const stream = new FakeStream();
  try {
    attach(stream);
    const own = `hessians/00000-e${identity.epoch}-a${identity.attempt}.safetensors`;
    const say = (about: typeof identity, name: string | undefined): boolean => {
      const hessian =
        name === undefined ? null : { root: 'FILE_ROOT_STAGING', name, sizeBytes: 1, sha256: 'a'.repeat(64) };
      const pass = { ...PASS_RESULT, hessian };
      return stream.emit('data', { epoch: identity.epoch, result: { identity: about, holdings: [], pass } });
    };
    const told = (verb: string) => cluster.events.filter((event) => event.verb === verb);
    say(identity, other);
    await expect.poll(() => told('failed')).toHaveLength(1);
    expect(told('failed')[0]?.data.message).toBe(
      `the result of task ${identity.task}, hessian.name: expected ${own}; found ${other ?? 'none'}`,
    );
    expect([cluster.job.layers[0]?.status, cluster.job.layers[0]?.hessians ?? []]).toEqual(['correlating', []]);
    cluster.passTime(1_000);
    const { task, attempt, epoch } = Object.values(cluster.job.leases)[0] as (typeof cluster.job.leases)[string];
    const name = own.replace(`-a${identity.attempt}.`, `-a${attempt}.`);
    say({ job: 'fake-1', task, attempt, epoch }, name);
    await expect.poll(() => cluster.job.layers[0]?.status).toBe('ready');
    expect(cluster.job.layers[0]?.hessians).toMatchObject([{ microbatches: [[0, 4]], file: { name } }]);
  } finally {
    service.close();
  }
});
