/** Workers that come, go, and are slow, as real processes: who gets what, what is computed again, and the same bytes. */
import { beforeAll, describe, expect, it } from 'vitest';
import {
  expectWholeStory,
  PlainCluster,
  quietDigests,
  type ToldEvent,
  waitForCommit,
} from '../support/plain-cluster.ts';
import { Bench, digestTree } from '../support/secateur-process.ts';

/** Longer than a worker may take to leave (Kubernetes gives 30 s). */
const LEAVES_WITHIN_MS = 25_000;
const LEAVES_IN_A_PASS_WITHIN_MS = 10_000;

interface Replica {
  readonly worker: string;
  readonly microbatches: number;
  readonly tokensPerSecond: number;
}

function replicasAt(events: readonly ToldEvent[], layer: number): Map<string, Replica> {
  const event = events.find(({ type, data }) => type === 'secateur.layer.calibrated.v1' && data.layer === layer);
  const replicas = (event?.data.workers ?? []) as unknown as Replica[];
  return new Map(replicas.map((replica) => [replica.worker, replica]));
}

/** Tokens that were computed more than once, of 14336 (pruned) or 8192 (dense). */
function tokensAgain(events: readonly ToldEvent[]): number {
  return events.at(-1)?.data.tokensAgain as number;
}

function indexOf(events: readonly ToldEvent[], type: string, data: Record<string, unknown>): number {
  return events.findIndex(
    (event) => event.type === type && Object.entries(data).every(([key, value]) => event.data[key] === value),
  );
}

const slow = (ms: number): Record<string, string> => ({ SECATEUR_SLOW_MS: String(ms) });

describe('an elastic cluster', () => {
  let quiet: Record<string, string>;
  beforeAll(async () => {
    quiet = await quietDigests();
  });

  it('a job begins with one worker; a newcomer has a share of the next layer', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    // The three layers that remain take it 20 s: time for a process to begin on a busy machine.
    cluster.worker('w1', slow(200));
    const job = cluster.submit(bench.path('out'), { placement: {} });
    await waitForCommit(cluster, 0);
    await cluster.worker('w2', slow(200)).printed(/attached to/);
    expect((await job.finished).code).toBe(0);
    const events = await expectWholeStory(cluster);
    expect([...replicasAt(events, 0).keys()]).toEqual(['w1']);
    expect([...replicasAt(events, 3).keys()].sort()).toEqual(['w1', 'w2']);
    expect(tokensAgain(events)).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('a worker that is asked to leave hands over what it holds, and nothing is computed again', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    const leaver = cluster.worker('w1', slow(100));
    await leaver.printed(/attached to/);
    await cluster.worker('w2', slow(100)).printed(/attached to/);
    const job = cluster.submit(bench.path('out'), { placement: {} });
    await waitForCommit(cluster, 1);
    const askedMs = performance.now();
    expect((await leaver.kill('SIGTERM')).code).toBe(0);
    expect(performance.now() - askedMs).toBeLessThan(LEAVES_WITHIN_MS);
    expect((await job.finished).code).toBe(0);
    const events = await expectWholeStory(cluster);
    expect(indexOf(events, 'secateur.worker.handedOver.v1', { worker: 'w1' })).toBeGreaterThan(0);
    expect([...replicasAt(events, 3).keys()]).toEqual(['w2']);
    expect(tokensAgain(events)).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('a worker that is asked to leave in the middle of a pass of more than its 20 s stops it there, and nothing is computed again', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    // 16 microbatches of 2 s.
    const leaver = cluster.worker('w1', slow(2_000));
    await leaver.printed(/attached to/);
    const job = cluster.submit(bench.path('out'), { placement: {} });
    await leaver.printed(/begins calibrate-00000/);
    const workDone = async (): Promise<number> => {
      const { stdout } = await bench.run(['get', 'job', '-o', 'json', '--coordinator', cluster.address]);
      return JSON.parse(stdout).progress.workDone;
    };
    await expect.poll(workDone, { timeout: 30_000 }).toBeGreaterThan(0);
    await cluster.worker('w2').printed(/attached to/);
    const askedMs = performance.now();
    expect((await leaver.kill('SIGTERM')).code).toBe(0);
    // A microbatch, and what it holds to files: far from the limit, at which it would leave with its work undone.
    expect(performance.now() - askedMs).toBeLessThan(LEAVES_IN_A_PASS_WITHIN_MS);
    expect((await job.finished).code).toBe(0);
    const events = await expectWholeStory(cluster);
    const share = replicasAt(events, 0).get('w1')?.microbatches;
    expect(share).toBeGreaterThan(0);
    expect(share).toBeLessThan(16);
    expect(tokensAgain(events)).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('the only worker leaves; the job says what it needs, and the next one goes on without computing anything again', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    const first = cluster.worker('w1', slow(100));
    const job = cluster.submit(bench.path('out'), { placement: {} });
    await waitForCommit(cluster, 1);
    expect((await first.kill('SIGTERM')).code).toBe(0);
    await expect
      .poll(async () => (await bench.run(['get', 'job', '--coordinator', cluster.address])).stdout, { timeout: 10_000 })
      .toMatch(/WaitingForWorker[\s\S]*needs one worker/);
    cluster.worker('w2');
    expect((await job.finished).code).toBe(0);
    expect(tokensAgain(await expectWholeStory(cluster))).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('a slow worker is seen in the events, and is given less', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    await cluster.worker('w1', slow(100)).printed(/attached to/);
    await cluster.worker('w2', slow(10)).printed(/attached to/);
    const job = cluster.submit(bench.path('out'), { placement: {} });
    expect((await job.finished).code).toBe(0);
    const events = await expectWholeStory(cluster);
    const [first, last] = [replicasAt(events, 0), replicasAt(events, 3)];
    expect([first.get('w1')?.microbatches, first.get('w2')?.microbatches]).toEqual([8, 8]);
    expect(first.get('w1')?.tokensPerSecond).toBeLessThan(first.get('w2')?.tokensPerSecond ?? 0);
    expect(last.get('w1')?.microbatches).toBeLessThan(last.get('w2')?.microbatches ?? 0);
    expect(tokensAgain(events)).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('a killed worker costs what it held since the last snapshot, and no more', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    const victim = cluster.worker('w1', slow(100));
    await victim.printed(/attached to/);
    await cluster.worker('w2', slow(40)).printed(/attached to/);
    const job = cluster.submit(bench.path('out'), { placement: { snapshotInterval: 1 } });
    await waitForCommit(cluster, 1);
    await victim.kill();
    expect((await job.finished).code).toBe(0);
    const events = await expectWholeStory(cluster);
    expect(indexOf(events, 'secateur.task.lost.v1', { worker: 'w1' })).toBeGreaterThan(0);
    // Its share of one pass: 8 of 16 samples of 128 tokens.
    expect(tokensAgain(events)).toBeLessThanOrEqual(8 * 128);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('dense propagation pipelines: the second stage begins before the first is through', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    for (const name of ['w1', 'w2']) await cluster.worker(name, slow(40)).printed(/attached to/);
    const pruning = { method: 'wanda', sparsity: 0.5, propagate: 'dense' };
    const job = cluster.submit(bench.path('out'), { pruning, placement: { stages: 2, replicas: 1 } });
    expect((await job.finished).code).toBe(0);
    const events = await expectWholeStory(cluster);
    const begins = indexOf(events, 'secateur.stage.assigned.v1', { stage: 1 });
    expect(begins).toBeGreaterThan(0);
    expect(begins).toBeLessThan(indexOf(events, 'secateur.layer.calibrated.v1', { layer: 1 }));
    expect(events[begins]?.data.worker).not.toBe(
      events[indexOf(events, 'secateur.stage.assigned.v1', { stage: 0 })]?.data.worker,
    );
  });
});
