/** Parts that die: the job goes on, ends with the bytes of a quiet run, and computes no committed layer twice. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { expectWholeStory, PlainCluster, quietDigests, waitForCommit, waitForJob } from '../support/plain-cluster.ts';
import { Bench, digestTree } from '../support/secateur-process.ts';

describe('a job goes on when parts die', () => {
  /** What every disturbed run must give. */
  let quiet: Record<string, string>;
  beforeAll(async () => {
    quiet = await quietDigests();
  });

  it('a worker is killed and none comes back for a while: another takes its stage', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    const first = cluster.worker('w1', { SECATEUR_SLOW_MS: '15' });
    await first.printed(/attached to/);
    const job = cluster.submit(bench.path('out'), { placement: { stages: 1 } });
    await waitForCommit(cluster, 1);
    await first.kill();
    cluster.worker('w2');
    const finished = await job.finished;
    expect(finished.code, finished.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
    await expectWholeStory(cluster);
  });

  it('cancel stops the job, resume goes on from the committed layers', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    cluster.worker('w1', { SECATEUR_SLOW_MS: '15' });
    const job = cluster.submit(bench.path('out'));
    await waitForCommit(cluster, 0);
    const cancelled = await bench.run(['cancel', 'job', '--coordinator', cluster.address]);
    expect(cancelled.code, cancelled.stderr).toBe(0);
    expect((await job.finished).code).not.toBe(0);
    const resumed = await bench.run(['resume', 'job', '--coordinator', cluster.address]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const watched = await bench.run(['watch', 'job', '--coordinator', cluster.address]);
    expect(watched.code, watched.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
    await expectWholeStory(cluster);
    const logs = await bench.run(['logs', 'job', '--coordinator', cluster.address]);
    expect(logs.stdout).toMatch(/prune-00000/);
  });

  it('statistics that the coordinator cannot keep fail the job with the reason; mended, it resumes', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    const job = cluster.submit(bench.path('out'));
    const id = await waitForJob(cluster);
    mkdirSync(join(cluster.state, 'jobs', id), { recursive: true });
    writeFileSync(join(cluster.state, 'jobs', id, 'statistics'), 'a file where a folder should be');
    cluster.worker('w1');
    const failed = await job.finished;
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toMatch(
      /calibrate-00000-m0-15 on w1 failed \(tried 4 times\): \S+ the statistics of a pass cannot be written: EEXIST/,
    );
    rmSync(join(cluster.state, 'jobs', id, 'statistics'));
    const resumed = await bench.run(['resume', id, '--coordinator', cluster.address]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const watched = await bench.run(['watch', id, '--coordinator', cluster.address]);
    expect(watched.code, watched.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('a task that kills every engine fails the job with the last words, instead of looping; mended, it resumes', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    const poison = { SECATEUR_FAILPOINT: 'engine.pass-computed=EXIT' };
    const poisoned = [cluster.worker('w1', poison), cluster.worker('w2', poison)];
    for (const worker of poisoned) await worker.printed(/attached to/);
    const failed = await cluster.submit(bench.path('out'), { placement: {} }).finished;
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toMatch(
      /task calibrate-00000-m\S+ on w[12] failed \(tried 4 times\): the engine of worker w[12] ended .*exited with code 70; its last words: gave up at the failpoint engine\.pass-computed.*EngineCrashed/s,
    );
    // What it said on standard error is a line of the job's log as well.
    const logs = await bench.run(['logs', 'job', '--coordinator', cluster.address]);
    expect(logs.stdout).toMatch(/w[12] engine calibrate-00000-m\S+: gave up at the failpoint engine\.pass-computed/);
    // Each of them had its turn.
    for (const worker of poisoned) expect(worker.stderr).toContain('the engine ended');
    for (const worker of poisoned) await worker.kill();
    cluster.worker('w3');
    const resumed = await bench.run(['resume', 'job', '--coordinator', cluster.address]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const watched = await bench.run(['watch', 'job', '--coordinator', cluster.address]);
    expect(watched.code, watched.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('a second coordinator on the same state is turned away, with the process that has it', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    const first = await cluster.coordinator();
    const second = await bench.run(['coordinator', '--state', cluster.state, '--listen', '127.0.0.1:0']);
    expect(second.code).toBe(4);
    expect(second.stderr).toContain(String(first.child.pid));
  });

  it.each([
    ['its state folder is renamed', (state: string) => renameSync(state, `${state}-moved`)],
    ['its state folder is removed', (state: string) => rmSync(state, { recursive: true })],
    ['its lock is removed', (state: string) => rmSync(join(state, 'lock.sqlite'))],
  ])('a coordinator ends when %s under it, and names the folder', async (_, disturb) => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    const coordinator = await cluster.coordinator();
    disturb(cluster.state);
    const beganMs = performance.now();
    const ended = await coordinator.finished;
    expect(performance.now() - beganMs).toBeLessThan(10_000);
    expect(ended.code).not.toBe(0);
    expect(ended.stderr).toContain(`the state folder ${cluster.state} was removed, renamed or replaced`);
  });
});
