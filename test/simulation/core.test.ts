import { describe, expect, it } from 'vitest';
import { RECONNECT_GRACE_MS } from '../../coordinator/core/workers.ts';
import { Cluster, fakeManifest, seededRandom } from './cluster.ts';

/** One simulated life of a job under seeded faults; the seed in the test's name reproduces it. */
function live(seed: number): Cluster {
  const random = seededRandom(seed);
  const samples = 1 + Math.floor(random() * 9);
  const cluster = new Cluster(1 + Math.floor(random() * 6), random, samples);
  for (const { linears } of cluster.intake.layers) {
    if (random() < 0.15) Object.assign(linears[0] as object, { choice: { kind: 'keepAll' } });
  }
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
      replicas: random() < 0.5 ? 'auto' : 1 + Math.floor(random() * 3),
      snapshotInterval: random() < 0.5 ? 'auto' : 1 + Math.floor(random() * 3),
    }),
  });
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
      cluster.take({ type: 'statisticsLost', job: 'fake-1', layer: Math.floor(random() * layerCount) });
    else if (dice < 0.114) cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    else if (dice < 0.12) cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    else if (dice < 0.135) cluster.passTime(random() * 2 * RECONNECT_GRACE_MS);
    else if (dice < 0.25 && !cluster.workers.get(name)?.attached) cluster.attach(name);
    else cluster.advance();
  }
  if (cluster.job.phase === 'Failed' || cluster.job.phase === 'Cancelled')
    cluster.take({ type: 'resumeRequested', job: cluster.job.id });
  for (const name of names) if (!cluster.workers.get(name)?.attached) cluster.attach(name);
  return cluster;
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

describe('a job that is resumed', () => {
  function begun(): Cluster {
    const cluster = new Cluster(2, seededRandom(1));
    cluster.take({ type: 'coordinatorStarted' });
    const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
    cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
    cluster.attach('w1');
    return cluster;
  }

  it('gives no task while its inputs are read again, and is assembled when nothing else is left to do', () => {
    const cluster = begun();
    while (cluster.commits.size < 2 || Object.keys(cluster.job.digests).length < 1) cluster.advance();
    cluster.take({ type: 'cancelRequested', job: 'fake-1' });
    cluster.take({ type: 'resumeRequested', job: 'fake-1' });
    expect([cluster.job.phase, cluster.job.leases]).toEqual(['Intake', {}]);
    expect(cluster.settle(1_000)).toBe(true);
    expect([cluster.job.phase, cluster.violations]).toEqual(['Succeeded', []]);
  });
});

describe('the core under seeded faults', () => {
  for (let block = 0; block < 25; block++) {
    it(`seeds ${block * 40}…${block * 40 + 39}: the job ends, no committed layer is computed twice, the sequence has no gap`, () => {
      for (let seed = block * 40; seed < block * 40 + 40; seed++) {
        const cluster = live(seed);
        const ended = cluster.settle(3_000);
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
