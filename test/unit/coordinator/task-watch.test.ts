/** Tasks whose worker lives and gets no further: noticed, explained, and given to another. */
import { describe, expect, it } from 'vitest';
import { TaskWatch } from '../../../coordinator/api/task-watch.ts';
import { explainWorker } from '../../../coordinator/core/explain.ts';
import { type CoordinatorState, type Lease, workerOf } from '../../../coordinator/core/state.ts';
import { Cluster, fakeManifest } from '../../simulation/cluster.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { FakeStream, serveCluster } from '../../support/served-cluster.ts';

const MINUTE_MS = 60_000;

/** A job whose calibration data `w1` is to prepare; `w2` comes later. */
function begin(): { cluster: Cluster; lease: Lease } {
  const cluster = new Cluster(2, seededRandom(1), 4);
  cluster.take({ type: 'coordinatorStarted' });
  const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
  cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
  cluster.attach('w1');
  while (Object.keys(cluster.job.leases).length === 0) cluster.advance();
  return { cluster, lease: Object.values(cluster.job.leases)[0] as Lease };
}

const leaseOn = (worker: string, { job }: Cluster): Lease | undefined =>
  Object.values(job.leases).find((lease) => lease.worker === worker);

const identityOf = ({ task, attempt, epoch }: Lease) => ({ job: 'fake-1', task, attempt, epoch });

describe('the watch over tasks', () => {
  const { cluster, lease } = begin();
  const identity = identityOf(lease);
  const stateWith = (over: Partial<Lease>): CoordinatorState => {
    const job = { ...cluster.job, leases: { [lease.task]: { ...lease, ...over } } };
    return { ...cluster.state, jobs: { ...cluster.state.jobs, [job.id]: job } };
  };
  const look = (watch: TaskWatch, nowMs: number, over: Partial<Lease> = {}, behind = false): number[] =>
    watch.look(stateWith(over), nowMs, () => behind).map(({ quietMs }) => quietMs);

  it('says when a task gets no further for a minute, once, and when it gets on', () => {
    const watch = new TaskWatch();
    expect(look(watch, 0)).toEqual([]);
    watch.moved(identity, 10_000, 5);
    watch.moved(identity, 20_000, 5);
    expect(look(watch, 69_999)).toEqual([]);
    expect(look(watch, 70_000)).toEqual([60_000]);
    expect(look(watch, 80_000, { quietSinceMs: 1 })).toEqual([]);
    watch.moved(identity, 85_000, 6);
    expect(look(watch, 90_000, { quietSinceMs: 1 })).toEqual([0]);
  });

  it('says it again when that is too long', () => {
    const watch = new TaskWatch();
    look(watch, 0);
    expect(look(watch, 20 * MINUTE_MS - 1, { quietSinceMs: 1 })).toEqual([]);
    expect(look(watch, 20 * MINUTE_MS, { quietSinceMs: 1 })).toEqual([20 * MINUTE_MS]);
  });

  it('counts statistics as progress, less than before as none, and what is not taken yet for the worker', () => {
    const watch = new TaskWatch();
    look(watch, 0);
    watch.moved(identity, 50_000, 5);
    watch.moved(identity, 55_000, 4);
    expect(look(watch, 110_000)).toEqual([60_000]);
    watch.moved(identity, 111_000);
    expect(look(watch, 112_000)).toEqual([]);
    expect(look(watch, 200_000, {}, true)).toEqual([]);
  });

  it('begins anew with another lease of the same task', () => {
    const watch = new TaskWatch();
    look(watch, 0);
    expect(look(watch, MINUTE_MS, { attempt: lease.attempt + 1 })).toEqual([]);
  });
});

describe('a task that gets no further', () => {
  const tellQuiet = (cluster: Cluster, lease: Lease, quietMs: number): void =>
    cluster.take({ type: 'taskQuiet', worker: lease.worker, identity: identityOf(lease), quietMs });

  it('is explained, with since when and on whom, until it gets on', () => {
    const { cluster, lease } = begin();
    cluster.nowMs = Date.UTC(2026, 0, 1, 0, 1);
    tellQuiet(cluster, lease, MINUTE_MS);
    expect([cluster.job.reason, cluster.job.message]).toEqual([
      'NoProgress',
      "needs progress of its tasks; there: prepare-calibration on w1 (no progress since 2026-01-01T00:00:00Z). What makes none for 20 minutes is given to another; see the worker's log.",
    ]);
    const worker = workerOf(cluster.state, 'w1');
    expect(worker && explainWorker(cluster.state, worker)).toContain('no progress since 2026-01-01T00:00:00Z');
    cluster.restartCoordinator();
    expect(cluster.violations).toEqual([]);
    cluster.attach('w1');
    // A new coordinator reads the inputs again first.
    cluster.take({ type: 'intakeSucceeded', job: 'fake-1', life: 0, intake: cluster.intake });
    tellQuiet(cluster, lease, 0);
    expect([cluster.job.reason, cluster.job.message]).toEqual(['Running', 'prepare-calibration on w1']);
  });

  it('does not hide that others get on', () => {
    const { cluster } = begin();
    cluster.attach('w2');
    while (Object.keys(cluster.job.leases).length < 2) cluster.advance();
    const [first, second] = Object.values(cluster.job.leases) as [Lease, Lease];
    tellQuiet(cluster, first, MINUTE_MS);
    expect(cluster.job.reason).toBe('Running');
    expect(cluster.job.message).toContain(`${first.task} on ${first.worker} (no progress since `);
    expect(cluster.job.message).not.toContain(`${second.task} on ${second.worker} (`);
  });

  it('is given to another worker after twenty minutes, and counts as lost', () => {
    const { cluster, lease } = begin();
    cluster.attach('w2');
    for (let digest = leaseOn('w2', cluster); digest !== undefined; digest = leaseOn('w2', cluster)) {
      const outcome = { kind: 'digestSource' as const, sha256: 'x' };
      cluster.take({ type: 'taskSucceeded', worker: 'w2', identity: identityOf(digest), outcome, holdings: [] });
    }
    tellQuiet(cluster, lease, 20 * MINUTE_MS);
    expect(cluster.job.leases[lease.task]).toMatchObject({ worker: 'w2' });
    expect(cluster.events.filter(({ verb }) => verb === 'lost').map(({ data }) => [data.worker, data.why])).toEqual([
      ['w1', 'it made no progress for 20 minutes'],
    ]);
    expect(cluster.settle(2_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });
});

it('a worker that sends heartbeats and nothing else has its task for twenty minutes', async () => {
  const { cluster, lease } = begin();
  const identity = identityOf(lease);
  let nowMs = 0;
  let everySecond = (): void => undefined;
  const timers = {
    now: () => nowMs,
    monotonicMs: () => nowMs,
    setTimeout: () => ({ clear: () => undefined }),
    setInterval: (run: () => void) => {
      everySecond = run;
      return { clear: () => undefined };
    },
  };
  const service = serveCluster(cluster, {
    progress: { report: () => undefined } as never,
    statistics: {} as never,
    timers,
  });
  const stream = new FakeStream();
  service.attach(stream as never);
  const register = { worker: 'w1', incarnation: '1', provider: 'cpu', tasks: [identity], holdings: [] };
  stream.emit('data', { register: { ...register, lastEpoch: 0, lastCoordinatorId: '' } });
  const passSeconds = async (seconds: number, done: number): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      nowMs += 1_000;
      const heartbeat = {
        tasks: [{ identity, done, total: 10, unit: 'tokens' }],
        residentBytes: 1,
        engineResidentBytes: 1,
      };
      stream.emit('data', { epoch: lease.epoch, heartbeat });
      await new Promise(setImmediate);
      everySecond();
      await new Promise(setImmediate);
    }
  };
  await passSeconds(59, 0);
  expect(cluster.job.reason).toBe('Running');
  await passSeconds(5, 0);
  expect(cluster.job.reason).toBe('NoProgress');
  await passSeconds(2, 1);
  expect(cluster.job.reason).toBe('Running');
  await passSeconds(20 * 60 + 5, 1);
  expect(cluster.events.filter(({ verb }) => verb === 'lost')).toHaveLength(1);
  service.close();
});
