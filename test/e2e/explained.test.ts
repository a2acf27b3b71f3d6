/** A wait is never silent: who watches hears within ten seconds what is needed and what is there. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../support/nats-server.ts';
import { expectWholeStory, PlainCluster, waitForCommit } from '../support/plain-cluster.ts';
import { childrenOf } from '../support/process-tree.ts';
import { Bench, microManifest, REPOSITORY } from '../support/secateur-process.ts';

/** What is promised. */
const TOLD_WITHIN_MS = 10_000;
/** Of a machine that several tests share. */
const SLACK_MS = 2_000;
const calibration = { tokens: join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors'), microbatch: 1 };

function lastOf(processId: number): number {
  const [child] = childrenOf(processId);
  return child === undefined ? processId : lastOf(child);
}

describe('whoever watches', () => {
  it('hears that an engine hangs, which, and when it is ended; it goes on when the engine does', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    await cluster.coordinator();
    const worker = cluster.worker('w1', { SECATEUR_SLOW_MS: '25' });
    await worker.printed(/attached to/);
    const job = cluster.submit(bench.path('out'), { placement: { stages: 1 } });
    await waitForCommit(cluster, 0);
    const watched = bench.start(['watch', 'job', '--coordinator', cluster.address]);
    await watched.printed(/layer\.committed/);
    // The launcher, perhaps the agent below it, and below that the engine.
    const engine = lastOf(worker.child.pid as number);
    process.kill(engine, 'SIGSTOP');
    try {
      await watched.printed(
        /Pruning \(EngineSilent\) since \S+: needs a word of an engine that runs a task; there: \S+ on w1, whose engine has said nothing since \S+Z and is ended at \S+Z/,
        TOLD_WITHIN_MS + SLACK_MS,
      );
      const shown = await bench.run(['get', 'job', '--coordinator', cluster.address]);
      expect(shown.stdout).toMatch(/phase +Pruning \(EngineSilent\) for/);
      const workers = await bench.run(['workers', '--coordinator', cluster.address]);
      expect(workers.stdout).toMatch(/w1 +attached .*runs \S+; its engine has said nothing since/);
    } finally {
      // Standing still, it would outlive its agent.
      process.kill(engine, 'SIGCONT');
    }
    await watched.printed(/Pruning \(Running\) since/);
    expect((await job.finished).code).toBe(0);
    await expectWholeStory(cluster);
  });

  it('hears that a worker is needed, that it is away, what is tried again and when, and whom a second job waits for', async () => {
    await using bench = new Bench();
    const address = `127.0.0.1:${await freePort()}`;
    const at = ['--coordinator', address];
    await bench.start(['coordinator', '--state', bench.path('state'), '--listen', address]).printed(/listens on/);
    const submit = async (name: string): Promise<void> => {
      writeFileSync(bench.path('m.yaml'), microManifest({ output: bench.path(name), name, calibration }));
      expect((await bench.run(['submit', bench.path('m.yaml'), ...at])).code).toBe(0);
    };
    const worker = (name: string, env: Record<string, string>) =>
      bench.start(['worker', '--name', name, '--threads', '1', '--cache', bench.path(name), ...at], env);
    await submit('first');
    const watched = bench.start(['watch', 'first', ...at]);
    await watched.printed(
      /Planning \(WaitingForWorker\) since \S+: needs one worker that takes tasks; there: none/,
      TOLD_WITHIN_MS,
    );
    await submit('second');
    const queued = bench.start(['watch', 'second', ...at]);
    await queued.printed(/Queued \(WaitingForJob\) since \S+: needs the workers, .* there: job first-/, TOLD_WITHIN_MS);

    const slow = worker('slow', { SECATEUR_SLOW_MS: '1000' });
    await watched.printed(/stage\.assigned/);
    await slow.printed(/begins calibrate-00000/);
    await slow.kill();
    await watched.printed(
      /Pruning \(WorkerAway\) since \S+: needs its workers back, or others; there: slow away since/,
      TOLD_WITHIN_MS,
    );
    const away = await bench.run(['workers', ...at]);
    expect(away.stdout).toMatch(/slow +away .*calibrate-00000-m\S+ is given to another then/);

    // Its engine dies in every pass: each time the pause before the next attempt is longer.
    worker('weak', { SECATEUR_FAILPOINT: 'engine.pass-computed' });
    await watched.printed(
      /Pruning \(WaitingToRetry\) since \S+: calibrate-00000 failed \d times, last on weak \(EngineCrashed: .*\); needs another attempt, at \S+Z; there: .*weak attached/,
    );
    const shown = await bench.run(['get', 'first', ...at]);
    expect(shown.stdout).toMatch(/phase +Pruning \((WaitingToRetry|Running)\) for/);
    const ended = await watched.finished;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/failed \(tried 4 times\): the engine of worker weak ended/);
  });

  it.each(['SIGTERM', 'EIO'])(
    'hears that its coordinator stops (%s), which does not wait for who watches',
    async (why) => {
      await using bench = new Bench();
      const address = `127.0.0.1:${await freePort()}`;
      const at = ['--coordinator', address];
      const folder = bench.path('failpoints');
      mkdirSync(folder);
      const env = { SECATEUR_FAILPOINT_FOLDER: folder };
      const args = ['coordinator', '--state', bench.path('state'), '--listen', address];
      const coordinator = bench.start(args, env);
      await coordinator.printed(/listens on/);
      writeFileSync(bench.path('m.yaml'), microManifest({ output: bench.path('out'), name: 'job', calibration }));
      expect((await bench.run(['submit', bench.path('m.yaml'), ...at])).code).toBe(0);
      const watched = bench.start(['watch', 'job', ...at]);
      const logs = bench.start(['logs', 'job', '--follow', ...at]);
      await watched.printed(/WaitingForWorker/);
      await logs.printed(/submitted/);
      if (why === 'SIGTERM') coordinator.child.kill('SIGTERM');
      else {
        writeFileSync(join(folder, 'coordinator.journal-unwritten=EIO'), '');
        await bench.run(['cancel', 'job', ...at]);
      }
      // Whom a coordinator has to cut off, after its grace period, hears something else.
      for (const reader of [watched, logs]) await reader.printed(/the coordinator stops/);
      expect((await coordinator.finished).code).toBe(why === 'SIGTERM' ? 0 : 1);
    },
  );
});
