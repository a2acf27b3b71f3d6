import { describe, expect, it } from 'vitest';
import { effectName } from '../../coordinator/core/effects.ts';
import type { EffectFailure } from '../../coordinator/core/events.ts';
import type { Lease } from '../../coordinator/core/state.ts';
import { RECONNECT_GRACE_MS } from '../../coordinator/core/workers.ts';
import { countOf } from '../../shared/microbatch-set.ts';
import { seededRandom } from '../support/seeded-random.ts';
import { Cluster, fakeManifest } from './cluster.ts';
import { replicasOf } from './replicas.ts';

const HICCUP = { code: 'StorageFailed', message: 'EIO', details: {}, retryable: true } as const;

/** A model whose digests wait until its layers are through. */
function enlarge({ intake }: Cluster): void {
  Object.assign(intake, { shards: intake.shards.map((shard) => ({ ...shard, sizeBytes: 2 * 1024 ** 3 })) });
}

/** One simulated life of a job under seeded faults; the seed in the test's name reproduces it. */
function live(seed: number, isDiscarded = false): Cluster {
  const random = seededRandom(seed);
  const samples = 1 + Math.floor(random() * 9);
  const cluster = new Cluster(1 + Math.floor(random() * 6), random, samples);
  for (const { linears } of cluster.intake.layers) {
    if (random() < 0.15) Object.assign(linears[0] as object, { choice: { kind: 'keepAll' } });
  }
  if (random() < 0.5) enlarge(cluster);
  const propagate = random() < 0.5 ? 'pruned' : 'dense';
  const layerCount = cluster.layerCount;
  const stages = random() < 0.3 ? 'auto' : 1 + Math.floor(random() * Math.min(3, layerCount));
  cluster.take({ type: 'coordinatorStarted' });
  cluster.take({
    type: 'jobSubmitted',
    job: 'fake-1',
    namespace: 'default',
    name: 'fake',
    manifest: fakeManifest({
      propagate,
      stages,
      samples,
      // Not drawn: the other lives stay what they were.
      method: seed % 4 === 3 ? 'sparsegpt' : 'wanda',
      replicas: random() < 0.5 ? 'auto' : 1 + Math.floor(random() * 3),
      snapshotInterval: random() < 0.5 ? 'auto' : 1 + Math.floor(random() * 3),
      isDiscarded,
    }),
  });
  cluster.effectFails = () => (random() < 0.15 ? HICCUP : null);
  const names = ['w1', 'w2', 'w3', 'w4', 'w5'].slice(0, 1 + Math.floor(random() * 5));
  for (const name of names) if (random() < 0.7) cluster.attach(name);
  for (let turn = 0; turn < 150; turn++) {
    const name = names[Math.floor(random() * names.length)] as string;
    const dice = random();
    if (dice < 0.03) cluster.kill(name);
    else if (dice < 0.06) cluster.detach(name);
    else if (dice < 0.08) cluster.crashEngine(name);
    else if (dice < 0.09) cluster.drain(name);
    else if (dice < 0.1) cluster.restartCoordinator();
    else if (dice < 0.105) cluster.loseFiles(0.4);
    else if (dice < 0.11)
      cluster.take({
        type: 'statisticsLost',
        job: 'fake-1',
        life: cluster.job.resumes,
        layer: Math.floor(random() * layerCount),
      });
    else if (dice < 0.112) cluster.damage();
    else if (dice < 0.114) cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    else if (dice < 0.12) cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    else if (dice < 0.135) cluster.passTime(random() * 2 * RECONNECT_GRACE_MS);
    else if (dice < 0.25 && !cluster.workers.get(name)?.attached) cluster.attach(name);
    else cluster.advance();
  }
  cluster.effectFails = () => null;
  if (cluster.job.phase === 'Failed' || cluster.job.phase === 'Cancelled')
    cluster.take({ type: 'resumeRequested', job: cluster.job.id });
  // One that is about to leave might be the last.
  for (const name of names) if (cluster.workers.get(name)?.draining) cluster.kill(name);
  for (const name of names) if (!cluster.workers.get(name)?.attached) cluster.attach(name);
  return cluster;
}

function attachAll(cluster: Cluster): void {
  for (const { id, attached } of cluster.workers.values()) if (!attached) cluster.attach(id);
}

describe('hidden states that vanish without a word', () => {
  it('are missed once, then computed again from the token ids', () => {
    const cluster = new Cluster(4, seededRandom(1));
    cluster.take({ type: 'coordinatorStarted' });
    const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
    cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
    cluster.attach('w1');
    while (!cluster.commits.has(1)) cluster.advance();
    cluster.workers.get('w1')?.held.clear();
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.inputsMissing, cluster.violations]).toEqual(['Succeeded', 1, []]);
    expect(cluster.job.workRedone).toBeGreaterThan(0);
  });
});

describe('what a worker loses with its hidden states', () => {
  it('is computed again from the nearest snapshot below, not from the token ids', () => {
    const samples = 4;
    const cluster = begin(6, samples, ['w1'], { snapshotInterval: 2 });
    const forwarded = (layer: number): number => countOf(cluster.job.layers[layer]?.forwarded ?? []);
    // At boundary 5, one layer above the snapshots at 4.
    advanceUntil(cluster, () => cluster.commits.has(4) && forwarded(4) === samples);
    while (Object.keys(cluster.job.leases).length === 0) cluster.advance();
    expect(cluster.job.snapshots.map(({ boundary }) => boundary)).toEqual([4]);
    cluster.crashEngine('w1');
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
    // Eight tokens a sample through layer 4, and not through the five layers from the token ids.
    expect(cluster.job.workRedone).toBe(samples * 8);
  });
});

describe('a job that has succeeded', () => {
  it('keeps in the state what people ask for, not what it was made of', () => {
    const cluster = new Cluster(40, seededRandom(1));
    cluster.take({ type: 'coordinatorStarted' });
    const manifest = fakeManifest({ propagate: 'pruned', stages: 1, snapshotInterval: 2 });
    cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
    cluster.attach('w1');
    while (!cluster.commits.has(39)) cluster.advance();
    const running = JSON.stringify(cluster.job).length;
    expect(cluster.settle(1_000)).toBe(true);
    expect(cluster.job.layers.map((layer) => [layer.status, layer.worker])).toEqual(
      Array.from({ length: 40 }, () => ['committed', 'w1']),
    );
    expect(JSON.stringify(cluster.job).length).toBeLessThan(running / 2);
    cluster.restartCoordinator();
    expect(cluster.violations).toEqual([]);
  });
});

const WORKERS = Array.from({ length: 12 }, (_, index) => `w${String(index).padStart(2, '0')}`);

function begin(layers: number, samples: number, workers: readonly string[], over: object = {}): Cluster {
  const cluster = new Cluster(layers, seededRandom(3), samples);
  cluster.take({ type: 'coordinatorStarted' });
  const manifest = fakeManifest({ propagate: 'pruned', stages: 1, samples, ...over });
  cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
  for (const worker of workers) cluster.attach(worker);
  return cluster;
}

function nameOf(cluster: Cluster, layer: number): string {
  return cluster.job.layers[layer]?.file?.name as string;
}

function leasesOf(cluster: Cluster, kind: 'pass' | 'prune' | 'handOver') {
  return Object.values(cluster.job.leases).filter((lease) => lease.spec.kind === kind);
}

function advanceUntil(cluster: Cluster, isThere: () => boolean): void {
  for (let count = 0; !isThere(); count++) {
    expect(count).toBeLessThan(5_000);
    cluster.advance();
  }
}

describe('a job that is resumed', () => {
  it('gives no task while its inputs are read again, and is assembled when nothing else is left to do', () => {
    const cluster = begin(2, 4, ['w1']);
    enlarge(cluster);
    advanceUntil(cluster, () => cluster.commits.size === 2 && Object.keys(cluster.job.digests).length === 1);
    cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    expect([cluster.job.phase, cluster.job.leases]).toEqual(['Intake', {}]);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });

  it('takes nothing that the coordinator did for its life before', () => {
    const cluster = begin(2, 4, ['w1']);
    cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    const failure = { code: 'SourceMissing' as const, message: 'before', details: {} };
    cluster.take({ type: 'effectFailed', job: 'fake-1', life: 0, effect: 'intake', failure });
    expect(cluster.job.phase).toBe('Intake');
    cluster.take({ type: 'effectFailed', job: 'fake-1', life: 1, effect: 'intake', failure });
    expect(cluster.job.phase).toBe('Failed');
  });

  it('calibrates a layer again whose sums were no numbers', () => {
    const cluster = begin(2, 4, ['w1']);
    const failure = { code: 'NonFiniteValue' as const, message: 'NaN', details: { layer: 1 }, retryable: false };
    cluster.effectFails = ({ kind }) => (kind === 'reduceStatistics' && cluster.commits.size === 1 ? failure : null);
    cluster.settle(1_000);
    expect([cluster.job.phase, cluster.job.layers[1]?.status]).toEqual(['Failed', 'reducing']);
    cluster.effectFails = () => null;
    cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    expect(cluster.job.layers.map(({ status, parts }) => [status, parts.length])).toEqual([
      ['committed', 1],
      ['pending', 0],
    ]);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });

  it('waits for the job that runs meanwhile', () => {
    const cluster = begin(4, 4, ['w1']);
    advanceUntil(cluster, () => cluster.commits.size === 1);
    cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    const base = fakeManifest({ propagate: 'pruned', stages: 1 });
    const output = { ...base.spec.output, destination: 'file:///other' };
    const manifest = { ...base, spec: { ...base.spec, output } };
    cluster.take({ type: 'jobSubmitted', job: 'other-1', namespace: 'default', name: 'other', manifest });
    cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    expect([cluster.job.phase, cluster.job.reason]).toEqual(['Queued', 'WaitingForJob']);
    expect(cluster.state.jobs['other-1']?.phase).toBe('Intake');
  });

  it('that begins anew with other inputs knows nothing of the hidden states that a cut-off worker still has', () => {
    const cluster = begin(4, 4, ['w1', 'w2'], { propagate: 'dense' });
    advanceUntil(cluster, () => cluster.job.held.w1?.[0]?.boundary === 2 && cluster.commits.size === 0);
    const holdings = (cluster.job.held.w1 ?? []).map((states) => ({ job: 'fake-1', ...states }));
    const { capabilities, incarnation } = cluster.state.workers.w1 as (typeof cluster.state.workers)[string];
    cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    const intake = { ...cluster.intake, calibrationFiles: [{ file: '/a.txt', sizeBytes: 11, mtimeMs: 2 }] };
    cluster.take({ type: 'intakeSucceeded', job: 'fake-1', life: 1, intake });
    cluster.take({ type: 'workerAttached', worker: 'w1', incarnation, capabilities, tasks: [], holdings });
    expect([cluster.job.calibration, cluster.job.held]).toEqual([null, {}]);
  });
});

describe('the digests of the shards', () => {
  const digests = (cluster: Cluster): number => Object.keys(cluster.job.digests).length;

  it('of a small model are taken before its first layer, of a large one when its layers are through', () => {
    const small = begin(2, 4, ['w1']);
    advanceUntil(small, () => leasesOf(small, 'pass').length > 0);
    expect(digests(small)).toBe(2);
    const large = begin(2, 4, ['w1']);
    enlarge(large);
    advanceUntil(large, () => large.commits.size === 1);
    expect(digests(large)).toBe(0);
    expect(large.settle(1_000)).toBe(true);
    expect(large.job.phase).toBe('Succeeded');
  });
});

describe('a job whose coordinator was started again', () => {
  const changed = [{ file: '/a.txt', sizeBytes: 11, mtimeMs: 2 }];

  it('has its inputs read again before it gets a task, and goes on where nothing changed', () => {
    const cluster = begin(3, 4, ['w1']);
    advanceUntil(cluster, () => cluster.commits.size === 1 && leasesOf(cluster, 'pass').length === 0);
    cluster.kill('w1');
    cluster.restartCoordinator();
    cluster.attach('w1');
    expect([cluster.job.phase, cluster.job.leases]).toEqual(['Intake', {}]);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
    expect(cluster.events.map(({ verb }) => verb)).not.toContain('begunAnew');
  });

  it('fails where its inputs changed meanwhile, before anything else is committed', () => {
    const cluster = begin(3, 4, ['w1']);
    advanceUntil(cluster, () => cluster.commits.size === 1);
    cluster.kill('w1');
    cluster.intake = { ...cluster.intake, calibrationFiles: changed };
    cluster.restartCoordinator();
    cluster.attach('w1');
    cluster.settle(1_000);
    expect([cluster.job.phase, cluster.job.failure?.code, cluster.commits.size]).toEqual([
      'Failed',
      'SourceChanged',
      1,
    ]);
    expect(cluster.job.failure?.message).toContain('size of /a.txt was 10, is 11');
  });

  it('and that has committed nothing begins anew with changed inputs, and says so; what workers had does not count', () => {
    const cluster = begin(3, 4, ['w1', 'w2']);
    const runs = (worker: string): unknown => cluster.workers.get(worker)?.task?.spec.kind;
    advanceUntil(cluster, () => runs('w1') === 'pass' && runs('w2') === 'pass');
    const before = Object.values(cluster.job.leases);
    cluster.intake = { ...cluster.intake, calibrationFiles: changed };
    cluster.restartCoordinator();
    for (const worker of ['w1', 'w2']) cluster.attach(worker);
    expect(Object.values(cluster.job.leases), 'tasks that are under way go on').toEqual(before);
    advanceUntil(cluster, () => cluster.job.phase !== 'Intake');
    expect([cluster.job.phase, cluster.job.calibration, cluster.job.held]).toEqual(['Preparing', null, {}]);
    const told = cluster.events.find(({ entity, verb }) => entity === 'job' && verb === 'begunAnew');
    expect(told?.data.drift).toContain('size of /a.txt was 10, is 11');
    expect(Object.values(cluster.job.leases).map(({ spec }) => spec.kind)).not.toContain('pass');
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });

  it('keeps what comes of its tasks while its inputs are read', () => {
    const cluster = begin(2, 4, ['w1']);
    advanceUntil(cluster, () => cluster.workers.get('w1')?.task?.spec.kind === 'prepareCalibration');
    cluster.restartCoordinator();
    const [task] = Object.values(cluster.job.leases);
    cluster.attach('w1');
    const { incarnation } = cluster.state.workers.w1 as (typeof cluster.state.workers)[string];
    expect([task?.spec.kind, incarnation]).toEqual(['prepareCalibration', '1']);
    const file = { name: 'ids', sizeBytes: 1, sha256: 'ids' };
    const calibration = { inputDigests: [], samples: 4, sequenceLength: 1, file };
    const identity = { job: 'fake-1', task: task?.task ?? '', attempt: task?.attempt ?? 0, epoch: task?.epoch ?? 0 };
    const outcome = { kind: 'prepareCalibration' as const, calibration };
    cluster.take({ type: 'taskSucceeded', worker: 'w1', identity, outcome, holdings: [] });
    expect(cluster.job.phase).toBe('Intake');
    expect(cluster.settle(1_000)).toBe(true);
    expect(cluster.job.phase).toBe('Succeeded');
  });
});

describe('a task that fails', () => {
  const kinds = ['prepareCalibration', 'digestSource', 'prune'] as const;
  it.each(kinds.flatMap((kind) => (['StorageFailed', 'EngineCrashed'] as const).map((code) => [kind, code] as const)))(
    'is tried on another worker, although the one it failed on is idle first: %s, %s',
    (kind, code) => {
      const cluster = begin(2, 4, ['w1', 'w2']);
      const current = () => Object.values(cluster.job.leases).find(({ spec }) => spec.kind === kind);
      advanceUntil(cluster, () => current() !== undefined);
      const begun = current()?.task;
      const tried: string[] = [];
      for (let count = 0; count < 3; count++) {
        const lease = Object.values(cluster.job.leases).find(({ task }) => task === begun);
        expect(lease, `attempt ${count + 1}`).toBeDefined();
        const { task, attempt, epoch, worker } = lease as NonNullable<typeof lease>;
        tried.push(worker);
        const failure = { code, message: 'broken', details: {}, retryable: true };
        const identity = { job: 'fake-1', task, attempt, epoch };
        const fake = cluster.workers.get(worker);
        if (fake?.task?.identity.attempt === attempt) fake.task = null;
        fake?.waiting.splice(0);
        cluster.take({ type: 'taskFailed', worker, identity, failure, holdings: null });
        // The pause, and whoever is busy with something else comes to an end with it.
        cluster.passTime(2_100);
        for (let turn = 0; turn < 200 && !Object.hasOwn(cluster.job.leases, begun ?? ''); turn++) {
          if (!cluster.advance()) cluster.passTime(100);
        }
      }
      expect(tried[1]).not.toBe(tried[0]);
      expect(tried[2]).not.toBe(tried[1]);
    },
  );
});

describe('many workers that go wrong once each', () => {
  it('are lost together: nobody was lost twice, and the job goes on', () => {
    const cluster = begin(6, 32, WORKERS);
    advanceUntil(cluster, () => cluster.commits.size >= 2 && leasesOf(cluster, 'pass').length === 12);
    for (const { worker } of leasesOf(cluster, 'pass').slice(0, 8)) cluster.kill(worker);
    cluster.passTime(RECONNECT_GRACE_MS + 100);
    for (const worker of WORKERS) cluster.attach(worker);
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });

  it('fail together: every task is tried again, and a storage that hiccups shuns nobody', () => {
    const cluster = begin(6, 32, WORKERS);
    advanceUntil(cluster, () => cluster.commits.size >= 2 && leasesOf(cluster, 'pass').length === 12);
    for (const { worker, task, attempt, epoch } of leasesOf(cluster, 'pass')) {
      const failure = { code: 'Unavailable' as const, message: 'a hiccup', details: {}, retryable: true };
      const identity = { job: 'fake-1', task, attempt, epoch };
      cluster.take({ type: 'taskFailed', worker, identity, failure, holdings: null });
      Object.assign(cluster.workers.get(worker) as object, { task: null });
    }
    expect([cluster.job.phase, cluster.job.shunnedUntilMs]).toEqual(['Pruning', {}]);
    expect(cluster.settle(5_000)).toBe(true);
    expect(cluster.job.phase).toBe('Succeeded');
  });

  it('find every snapshot gone: all is computed again', () => {
    const cluster = begin(6, 24, WORKERS, { snapshotInterval: 2 });
    advanceUntil(cluster, () =>
      cluster.job.snapshots.some(({ boundary, files }) => boundary === 2 && Object.keys(files).length === 24),
    );
    for (const worker of WORKERS) cluster.kill(worker);
    for (const worker of WORKERS) cluster.attach(worker);
    cluster.loseFiles(1);
    expect(cluster.settle(10_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });

  it('of which the same task fails each time: the job fails after four', () => {
    const cluster = begin(2, 4, ['w1']);
    advanceUntil(cluster, () => leasesOf(cluster, 'pass').length === 1);
    for (let failed = 0; failed < 4; failed++) {
      advanceUntil(cluster, () => {
        cluster.passTime(1_000);
        return cluster.workers.get('w1')?.task?.spec.kind === 'pass';
      });
      cluster.crashEngine('w1');
    }
    expect([cluster.job.phase, cluster.job.message]).toEqual(['Failed', expect.stringContaining('tried 4 times')]);
  });
});

describe("the coordinator's own work that fails", () => {
  const FULL = { code: 'StorageFull', message: 'no space', details: {}, retryable: false } as const;
  const PAUSES_MS = [500, 1_000, 2_000];

  /** Lets a job run until its work of that name has failed `times` times, which it does each time. @returns when */
  function failOften(cluster: Cluster, effect: string, times: number, failure: EffectFailure): number[] {
    const atMs: number[] = [];
    cluster.effectFails = (command) => {
      if (effectName(command) !== effect || atMs.length === times) return null;
      atMs.push(cluster.nowMs);
      return failure;
    };
    for (let count = 0; atMs.length < times && count < 5_000; count++) if (!cluster.advance()) cluster.passTime(50);
    expect(atMs).toHaveLength(times);
    return atMs;
  }

  it.each(['intake', 'reduce-1', 'assembly', 'publish'])(
    '%s is tried again after pauses that double, and what it says ends with it',
    (effect) => {
      const cluster = begin(2, 4, ['w1']);
      const atMs = failOften(cluster, effect, 3, FULL);
      const pauses = atMs.map((ms, index) => ms - (atMs[index - 1] ?? ms)).slice(1);
      for (const [index, pauseMs] of pauses.entries()) {
        expect(pauseMs).toBeGreaterThanOrEqual(PAUSES_MS[index] as number);
        expect(pauseMs).toBeLessThan((PAUSES_MS[index] as number) + 200);
      }
      expect([cluster.job.reason, cluster.job.message]).toEqual([
        'WaitingToRetry',
        expect.stringMatching(
          new RegExp(
            `the coordinator's ${effect} failed 3 times \\(StorageFull: no space\\); needs another attempt, at`,
          ),
        ),
      ]);
      expect(cluster.settle(5_000)).toBe(true);
      expect([cluster.job.phase, cluster.violations, cluster.job.retries]).toEqual(['Succeeded', [], {}]);
      const told = cluster.events.filter(({ verb }) => verb === 'effectFailed').map(({ data }) => data);
      expect(told.map(({ failures, pauseMs }) => [failures, pauseMs])).toEqual(
        PAUSES_MS.map((ms, index) => [index + 1, ms]),
      );
    },
  );

  it.each(['intake', 'reduce-1', 'assembly', 'publish'])(
    '%s that fails a fourth time fails the job, which says so; resumed, it has its attempts again',
    (effect) => {
      const cluster = begin(2, 4, ['w1']);
      failOften(cluster, effect, 4, HICCUP);
      expect([cluster.job.phase, cluster.job.message]).toEqual([
        'Failed',
        `the coordinator's ${effect} failed (tried 4 times): EIO`,
      ]);
      cluster.take({ type: 'resumeRequested', job: 'fake-1' });
      failOften(cluster, effect, 3, HICCUP);
      expect(cluster.settle(5_000)).toBe(true);
      expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
    },
  );

  it('because of the inputs fails the job at once', () => {
    const cluster = begin(2, 4, ['w1']);
    failOften(cluster, 'intake', 1, {
      code: 'SourceMissing',
      message: 'no such folder',
      details: {},
      retryable: false,
    });
    expect([cluster.job.phase, cluster.job.message]).toEqual(['Failed', 'no such folder']);
  });

  it('waits out its pause, and keeps the count of its attempts, over restarts of the coordinator', () => {
    const cluster = begin(2, 4, ['w1']);
    failOften(cluster, 'publish', 3, HICCUP);
    let begun = 0;
    cluster.effectFails = (command) => {
      if (command.kind === 'publishCheckpoint') begun += 1;
      return command.kind === 'publishCheckpoint' ? HICCUP : null;
    };
    for (let restarts = 0; restarts < 3; restarts++) {
      cluster.restartCoordinator();
      while (cluster.advance());
      expect([begun, cluster.job.phase, cluster.job.reason]).toEqual([0, 'Assembling', 'WaitingToRetry']);
    }
    cluster.passTime(PAUSES_MS[2] as number);
    while (cluster.advance());
    expect([begun, cluster.job.phase, cluster.violations]).toEqual([1, 'Failed', []]);
  });

  it('is not begun again for a job that was cancelled meanwhile, and not twice for one that was resumed', () => {
    const cluster = begin(2, 4, ['w1']);
    failOften(cluster, 'assembly', 1, HICCUP);
    const begun: string[] = [];
    cluster.effectFails = (command) => {
      begun.push(command.kind);
      return null;
    };
    cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    cluster.passTime(10_000);
    while (cluster.advance());
    expect([cluster.job.phase, begun]).toEqual(['Cancelled', []]);
    cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    expect(cluster.settle(5_000)).toBe(true);
    expect(begun).toEqual(['intake', 'assembleShard', 'publishCheckpoint']);
  });

  it('for a layer that is calibrated again meanwhile changes nothing', () => {
    const cluster = begin(2, 4, ['w1']);
    advanceUntil(cluster, () => cluster.job.layers[0]?.status === 'reducing');
    cluster.take({ type: 'statisticsLost', job: 'fake-1', life: 0, layer: 0 });
    const failure = { code: 'ChecksumMismatch', message: 'rotten', details: {}, retryable: false } as const;
    cluster.take({ type: 'effectFailed', job: 'fake-1', life: 0, effect: 'reduce-0', failure });
    expect(cluster.job.phase).toBe('Pruning');
  });
});

describe('replicas of a number that the manifest fixes', () => {
  const sharersOf = (cluster: Cluster, stage: number): string[] => replicasOf(cluster.job)[stage] ?? [];

  it('are no more while one is away: its place is kept until its share is given up', () => {
    const cluster = begin(6, 8, ['w1', 'w2', 'w3'], { replicas: 2 });
    advanceUntil(cluster, () => cluster.commits.size >= 1 && sharersOf(cluster, 0).length === 2);
    cluster.detach('w1');
    // The other loses what it held: that is given out anew, and to nobody else.
    cluster.crashEngine('w2');
    while (cluster.advance());
    expect(sharersOf(cluster, 0)).toEqual(['w1', 'w2']);
    cluster.passTime(RECONNECT_GRACE_MS + 100);
    expect(sharersOf(cluster, 0)).toEqual(['w2', 'w3']);
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });

  it('stay the same where nobody leaves: between two waves of a pipeline nobody is exchanged', () => {
    for (let seed = 0; seed < 20; seed++) {
      const cluster = new Cluster(6, seededRandom(seed), 8);
      cluster.take({ type: 'coordinatorStarted' });
      const manifest = fakeManifest({ propagate: 'dense', stages: 2, replicas: 2, samples: 8 });
      cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
      for (const worker of WORKERS.slice(0, 6)) cluster.attach(worker);
      expect(cluster.settle(5_000)).toBe(true);
      const assigned = cluster.events.filter(({ entity, verb }) => entity === 'stage' && verb === 'assigned');
      const served = [0, 1].map((stage) => assigned.filter(({ data }) => data.stage === stage));
      expect(
        served.map((events) => events.length),
        `seed ${seed}`,
      ).toEqual([2, 2]);
      expect(cluster.violations).toEqual([]);
    }
  });
});

describe('Hessians', () => {
  const hessiansOf = (cluster: Cluster, layer: number) => cluster.job.layers[layer]?.hessians ?? [];

  it.each(['pruned', 'dense'] as const)(
    'of which one is lost have only its microbatches measured again (%s)',
    (propagate) => {
      const cluster = begin(4, 8, ['w1', 'w2'], { method: 'sparsegpt', propagate });
      advanceUntil(cluster, () => leasesOf(cluster, 'prune').length === 1 && hessiansOf(cluster, 0).length > 1);
      const [lost, ...others] = hessiansOf(cluster, 0);
      const computed = cluster.computed;
      cluster.files.delete(lost?.file.name as string);
      advanceUntil(cluster, () => cluster.job.layers[0]?.status === 'correlating');
      expect(hessiansOf(cluster, 0)).toEqual(others);
      advanceUntil(cluster, () => cluster.job.layers[0]?.status === 'ready');
      if (propagate === 'pruned') expect(cluster.computed - computed).toBe(countOf(lost?.microbatches ?? []));
      expect(cluster.settle(5_000)).toBe(true);
      expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
    },
  );

  it('of a worker that is lost are measured by the others; with the commit their files go', () => {
    const cluster = begin(3, 8, ['w1', 'w2', 'w3'], { method: 'sparsegpt' });
    advanceUntil(
      cluster,
      () => cluster.job.layers[1]?.status === 'correlating' && leasesOf(cluster, 'pass').length > 1,
    );
    cluster.kill('w1');
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
    expect([...cluster.files].filter((name) => name.startsWith('hessian'))).toEqual([]);
    const told = cluster.events.filter(({ entity, verb }) => entity === 'layer' && verb === 'correlated');
    expect(told.map(({ data }) => data.layer)).toEqual([0, 1, 2]);
  });

  it('stay good while the statistics that they are normalised by are added up again', () => {
    const cluster = begin(2, 6, ['w1', 'w2'], { method: 'sparsegpt' });
    advanceUntil(cluster, () => cluster.job.layers[0]?.status === 'correlating' && hessiansOf(cluster, 0).length === 1);
    const [first] = hessiansOf(cluster, 0);
    cluster.take({ type: 'statisticsLost', job: 'fake-1', life: 0, layer: 0 });
    expect([cluster.job.layers[0]?.status, hessiansOf(cluster, 0)]).toEqual(['pending', [first]]);
    advanceUntil(cluster, () => cluster.job.layers[0]?.status === 'ready');
    expect(hessiansOf(cluster, 0)).toContainEqual(first);
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });

  it('whose damping had to be raised say so when the layer is committed', () => {
    const cluster = begin(1, 4, ['w1'], { method: 'sparsegpt' });
    cluster.dampingRaises = [{ linears: ['l0.w'], from: 0.01, to: 0.1 }];
    expect(cluster.settle(5_000)).toBe(true);
    const raised = cluster.events.filter(({ verb }) => verb === 'dampingRaised');
    expect(raised.map(({ data }) => data)).toMatchObject([{ layer: 0, linears: ['l0.w'], from: 0.01, to: 0.1 }]);
  });

  it('that no damping helped say which were tried before the job fails', () => {
    const cluster = begin(1, 4, ['w1'], { method: 'sparsegpt' });
    advanceUntil(cluster, () => leasesOf(cluster, 'prune').length > 0);
    const [{ worker, task, attempt, epoch }] = leasesOf(cluster, 'prune') as [ReturnType<typeof leasesOf>[number]];
    const details = { layer: 0, linears: ['l0.w'], dampingTried: ['0.01', '0.1', '1'] };
    const failure = { code: 'CalibrationInvalid' as const, message: 'no', details, retryable: false };
    const identity = { job: 'fake-1', task, attempt, epoch };
    cluster.take({ type: 'taskFailed', worker, identity, failure, holdings: null });
    const raised = cluster.events.filter(({ verb }) => verb === 'dampingRaised');
    expect(raised.map(({ data }) => data)).toMatchObject([
      { layer: 0, linears: ['l0.w'], from: 0.01, to: 0.1 },
      { layer: 0, linears: ['l0.w'], from: 0.1, to: 1 },
    ]);
    expect(cluster.job.phase).toBe('Failed');
  });
});

describe('a hand-over that fails', () => {
  it('lets the worker go, and the job goes on', () => {
    const cluster = begin(6, 8, WORKERS.slice(0, 3));
    advanceUntil(cluster, () => cluster.commits.size >= 2 && Object.keys(cluster.job.held).length === 3);
    cluster.drain('w00');
    advanceUntil(cluster, () => leasesOf(cluster, 'handOver').length > 0);
    const [{ worker, task, attempt, epoch }] = leasesOf(cluster, 'handOver') as [ReturnType<typeof leasesOf>[number]];
    Object.assign(cluster.workers.get(worker) as object, { task: null });
    const failure = { code: 'StorageFull' as const, message: 'full', details: {}, retryable: false };
    cluster.take({
      type: 'taskFailed',
      worker,
      identity: { job: 'fake-1', task, attempt, epoch },
      failure,
      holdings: null,
    });
    expect([cluster.job.phase, cluster.state.workers.w00?.dismissed]).toEqual(['Pruning', true]);
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });
});

function lossesOf(cluster: Cluster): string[] {
  return cluster.events.filter(({ verb }) => verb === 'lost').map(({ entity }) => entity);
}

describe('a committed layer whose file is damaged', () => {
  it('is pruned again from its sums, and nothing is calibrated again', () => {
    const cluster = begin(4, 4, ['w1']);
    advanceUntil(cluster, () => cluster.job.layers[1]?.file != null);
    const known = cluster.job.layers[1]?.file;
    cluster.damaged.add(known?.name as string);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, lossesOf(cluster), cluster.violations]).toEqual(['Succeeded', ['layer'], []]);
    expect(cluster.job.layers[1]?.file).toMatchObject({
      sha256: known?.sha256,
      name: expect.not.stringMatching(known?.name as string),
    });
    expect(cluster.job.workRedone).toBe(0);
  });

  it('and whose sums are damaged too is calibrated again, from the token ids', () => {
    const cluster = begin(4, 4, ['w1']);
    advanceUntil(cluster, () => cluster.commits.size === 4 && cluster.job.phase === 'Assembling');
    cluster.damaged.add(nameOf(cluster, 2));
    cluster.take({ type: 'fileLost', job: 'fake-1', life: 0, name: nameOf(cluster, 2), why: 'gone' });
    // As the coordinator says it, when it cannot describe the prune task (effects/command-runner.ts).
    const { task, attempt, epoch } = Object.values(cluster.job.leases).find(
      ({ spec }) => spec.kind === 'prune',
    ) as Lease;
    const failure = { code: 'ChecksumMismatch' as const, message: 'damaged', details: {}, retryable: true };
    const identity = { job: 'fake-1', task, attempt, epoch };
    cluster.take({ type: 'taskFailed', worker: 'w1', identity, failure, holdings: null });
    cluster.take({ type: 'statisticsLost', job: 'fake-1', life: 0, layer: 2 });
    expect([cluster.job.phase, cluster.job.layers[2]?.status]).toEqual(['Pruning', 'pending']);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.job.workDone]).toEqual(['Succeeded', cluster.job.workTotal]);
  });

  it('fails the job, named, where it comes out otherwise, or is damaged again and again', () => {
    const cluster = begin(2, 4, ['w1']);
    advanceUntil(cluster, () => cluster.job.phase === 'Assembling');
    const name = nameOf(cluster, 0);
    const lost = { type: 'fileLost', job: 'fake-1', life: 0, why: 'damaged' } as const;
    cluster.take({ ...lost, name });
    const lease = Object.values(cluster.job.leases).find(({ spec }) => spec.kind === 'prune');
    const { task = '', attempt = 0, epoch = 0 } = lease ?? {};
    const file = { name: 'layers/other', sizeBytes: 1, sha256: 'other' };
    const outcome = { kind: 'prune', file, tensors: [], pruneMs: 1, commitMs: 1 } as const;
    const identity = { job: 'fake-1', task, attempt, epoch };
    cluster.take({ type: 'taskSucceeded', worker: 'w1', identity, outcome, holdings: [] });
    expect([cluster.job.phase, cluster.job.failure?.code]).toEqual(['Failed', 'ChecksumMismatch']);
    expect(cluster.job.failure?.message).toContain('layer 0');

    const worn = begin(2, 4, ['w1']);
    for (let times = 0; times < 8; times++) {
      advanceUntil(worn, () => worn.job.phase === 'Assembling');
      worn.damaged.add(nameOf(worn, 0));
      worn.take({ ...lost, name: nameOf(worn, 0) });
    }
    expect([worn.job.phase, worn.job.failure?.code]).toEqual(['Failed', 'StorageFailed']);
    expect(worn.job.failure?.message).toContain('layer 0 was lost or damaged 8 times');
    worn.take({ type: 'resumeRequested', job: 'fake-1' });
    expect(worn.settle(1_000)).toBe(true);
    expect([worn.job.phase, worn.violations]).toEqual(['Succeeded', []]);
  });

  it('that stays away is missed four times, then computed again', () => {
    const cluster = begin(3, 4, ['w1']);
    advanceUntil(cluster, () => cluster.job.layers[0]?.file != null);
    const staged = nameOf(cluster, 0);
    cluster.damaged.add(staged);
    const failure = { code: 'StorageFailed' as const, message: 'gone', details: { staged }, retryable: true };
    for (let missed = 0; missed < 4; missed++) {
      expect(lossesOf(cluster)).toEqual([]);
      advanceUntil(cluster, () => {
        cluster.passTime(1_000);
        return cluster.workers.get('w1')?.task?.spec.kind === 'pass';
      });
      const identity = cluster.workers.get('w1')?.task?.identity as never;
      Object.assign(cluster.workers.get('w1') as object, { task: null });
      cluster.take({ type: 'taskFailed', worker: 'w1', identity, failure, holdings: null });
    }
    expect(lossesOf(cluster)).toEqual(['layer']);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });
});

describe('token ids that are damaged', () => {
  it('are prepared again, and no pass begins with them before', () => {
    const cluster = begin(2, 4, ['w1', 'w2']);
    advanceUntil(cluster, () => cluster.job.calibration !== null);
    cluster.damaged.add(cluster.job.calibration?.file.name as string);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, lossesOf(cluster), cluster.violations]).toEqual(['Succeeded', ['calibration'], []]);
    expect(cluster.job.calibration).toMatchObject({ file: { sha256: 'c' } });
    expect(cluster.job.calibration?.isLost).toBe(undefined);
  });
});

describe('what waits to be published, damaged', () => {
  it('is assembled again', () => {
    const cluster = begin(2, 4, ['w1']);
    advanceUntil(cluster, () => cluster.job.reason === 'Publishing');
    cluster.take({ type: 'fileLost', job: 'fake-1', life: 0, name: 'publish/model.safetensors', why: 'damaged' });
    expect([cluster.job.reason, cluster.job.assembled]).toEqual(['WritingShards', []]);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, lossesOf(cluster), cluster.violations]).toEqual(['Succeeded', ['checkpoint'], []]);
  });
});

describe('the core under seeded faults', () => {
  for (let block = 0; block < 25; block++) {
    it(`seeds ${block * 40}…${block * 40 + 39}: the job ends, no committed layer is computed twice, the sequence has no gap`, () => {
      for (let seed = block * 40; seed < block * 40 + 40; seed++) {
        const cluster = live(seed);
        let ended = cluster.settle(3_000);
        // Where all had been asked to leave, they come back.
        if (!ended) attachAll(cluster);
        ended ||= cluster.settle(3_000);
        const where = `seed ${seed}`;
        expect(cluster.violations, where).toEqual([]);
        expect(ended, `${where}: ${JSON.stringify([cluster.job.phase, cluster.job.reason, cluster.job.message])}`).toBe(
          true,
        );
        expect([cluster.job.phase, cluster.job.message], where).toEqual(['Succeeded', expect.any(String)]);
        expect(
          [...cluster.commits.values()].every((count) => count === 1),
          where,
        ).toBe(true);
        expect(cluster.commits.size, where).toBe(cluster.layerCount);
        expect(
          cluster.events.map((event) => event.sequence),
          where,
        ).toEqual(cluster.events.map((_, index) => index + 1));
        expect(cluster.events.at(-1)?.verb, where).toBe('succeeded');
      }
    });
  }
});

describe('committed layers of a job that discards its output', () => {
  it.each(['pruned', 'dense'] as const)('propagate: %s: go, one or two of them being there at a time', (propagate) => {
    const cluster = begin(6, 8, WORKERS.slice(0, 2), { propagate, isDiscarded: true });
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.job.phase, cluster.job.reason, cluster.violations]).toEqual(['Succeeded', 'Recorded', []]);
    expect(cluster.layerFilesMax).toBeLessThanOrEqual(2);
    while (cluster.advance());
    const names = cluster.job.layers.map((layer) => layer.file?.name);
    expect(names.filter((name) => !cluster.removed.has(name ?? ''))).toEqual([]);
    expect(lossesOf(cluster)).toEqual([]);
  });

  it('stay as long as the snapshots behind them are not there, where the manifest has fewer of those', () => {
    const cluster = begin(6, 4, ['w1'], { isDiscarded: true, snapshotInterval: 3 });
    advanceUntil(cluster, () => cluster.commits.size === 3);
    expect(cluster.removed).toEqual(new Set());
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.layerFilesMax, cluster.violations]).toEqual([3, []]);
  });

  it('are pruned again, one after the other, where the snapshots and what workers held are lost', () => {
    const cluster = begin(6, 1, ['w1'], { isDiscarded: true });
    advanceUntil(cluster, () => cluster.commits.size === 4 && leasesOf(cluster, 'pass').length === 0);
    const digests = cluster.job.layers.map((layer) => layer.file?.sha256);
    cluster.loseFiles(1);
    cluster.kill('w1');
    cluster.attach('w1');
    expect(cluster.settle(5_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
    const lost = cluster.events.filter(({ entity, verb }) => entity === 'layer' && verb === 'lost');
    expect(lost.map(({ data }) => data.layer)).toEqual([0, 1, 2, 3]);
    expect(cluster.job.layers.slice(0, 4).map((layer) => layer.file?.sha256)).toEqual(digests.slice(0, 4));
    expect(cluster.layerFilesMax).toBeLessThanOrEqual(3);
  });

  for (let block = 0; block < 5; block++) {
    it(`seeds ${block * 40}…${block * 40 + 39}: under faults no pass goes through a file that is gone`, () => {
      for (let seed = block * 40; seed < block * 40 + 40; seed++) {
        const cluster = live(seed, true);
        let ended = cluster.settle(5_000);
        if (!ended) attachAll(cluster);
        ended ||= cluster.settle(5_000);
        const where = `seed ${seed}`;
        expect([cluster.violations, ended, cluster.job.phase, cluster.job.message], where).toEqual([
          [],
          true,
          'Succeeded',
          expect.any(String),
        ]);
        expect(cluster.commits.size, where).toBe(cluster.layerCount);
        expect(
          cluster.job.layers.every(({ isDiscarded }) => isDiscarded === true),
          where,
        ).toBe(true);
      }
    });
  }
});

describe('retries of tasks', () => {
  const leaseOf = (cluster: Cluster, task: string) => cluster.job.leases[task] as Lease;
  const identity = ({ task, attempt, epoch }: Lease) => ({ job: 'fake-1', task, attempt, epoch });

  /** Fails the task of that name as often as it is given out, and says after which pauses it was. */
  function failTask(cluster: Cluster, task: string, code: 'StorageFailed' | 'EngineCrashed'): number[] {
    const pauses: number[] = [];
    for (;;) {
      const lease = leaseOf(cluster, task);
      const failure = { code, message: 'EIO', details: {}, retryable: true };
      cluster.take({ type: 'taskFailed', worker: lease.worker, identity: identity(lease), failure, holdings: null });
      const failedMs = cluster.nowMs;
      for (let turn = 0; turn < 1_000 && leaseOf(cluster, task) === undefined; turn++) {
        // Meanwhile the worker digests a shard.
        for (const digest of Object.values(cluster.job.leases)) {
          const outcome = { kind: 'digestSource', sha256: 'x' } as const;
          const { worker } = digest;
          cluster.take({ type: 'taskSucceeded', worker, identity: identity(digest), outcome, holdings: [] });
        }
        cluster.passTime(10);
        if (cluster.job.phase === 'Failed') return pauses;
      }
      pauses.push(cluster.nowMs - failedMs);
    }
  }

  it('come after pauses that double, and end with the fourth failure', () => {
    const cluster = begin(2, 4, ['w1']);
    advanceUntil(cluster, () => leaseOf(cluster, 'prepare-calibration') !== undefined);
    const pauses = failTask(cluster, 'prepare-calibration', 'StorageFailed');
    expect(pauses.map((ms) => Math.round(ms / 100) * 100)).toEqual([500, 1_000, 2_000]);
    expect(cluster.job.message).toBe('task prepare-calibration on w1 failed (tried 4 times): EIO');
  });

  it('of a task that takes its worker with it end with the eighth', () => {
    const cluster = begin(2, 4, ['w1']);
    advanceUntil(cluster, () => leaseOf(cluster, 'prepare-calibration') !== undefined);
    for (let lost = 1; lost < 8; lost++) {
      cluster.kill('w1');
      cluster.attach('w1');
      expect([cluster.job.phase, leaseOf(cluster, 'prepare-calibration')?.worker]).toEqual(['Preparing', 'w1']);
    }
    cluster.kill('w1');
    cluster.attach('w1');
    expect(cluster.job.message).toMatch(/^task prepare-calibration was lost with its worker 8 times, last on w1/);
  });

  it('of a pass that crashed its engine go to others, which take its share', () => {
    const cluster = begin(4, 8, ['w1', 'w2']);
    advanceUntil(cluster, () => leasesOf(cluster, 'pass').length === 2);
    advanceUntil(cluster, () => cluster.workers.get('w1')?.task?.spec.kind === 'pass');
    cluster.crashEngine('w1');
    expect(cluster.settle(5_000)).toBe(true);
    const told = cluster.events.find(({ verb }) => verb === 'calibrated')?.data.workers as { worker: string }[];
    expect(told.map(({ worker }) => worker)).toEqual(['w2']);
  });
});
