/** What stays readable when every process is gone, and what goes on when only the coordinator is. */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { freePort } from '../support/nats-server.ts';
import { Bench, microManifest, REPOSITORY, type SecateurProcess } from '../support/secateur-process.ts';

const calibration = { tokens: join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors'), microbatch: 1 };
const SLOW = { SECATEUR_SLOW_MS: '25' };
/** So that a task is under way when the followers are there, however long those take to start. */
const SLOWER = { SECATEUR_SLOW_MS: '250' };

function manifestFile(bench: Bench): string {
  const file = bench.path('m.yaml');
  writeFileSync(file, microManifest({ output: bench.path('out'), name: 'job', calibration }));
  return file;
}

function coordinator(bench: Bench, address: string, ...args: string[]): SecateurProcess {
  return bench.start(['coordinator', '--state', bench.path('state'), '--listen', address, ...args]);
}

function worker(bench: Bench, address: string, env: Record<string, string> = {}): SecateurProcess {
  const args = ['--name', 'w1', '--threads', '1', '--cache', bench.path('cache')];
  return bench.start(['worker', '--coordinator', address, ...args], env);
}

describe('when every process is gone', () => {
  it('logs, events and the job are read from the state folder, and the journal is not touched', async () => {
    await using bench = new Bench();
    const manifest = manifestFile(bench);
    const run = bench.start(['run', manifest, '--workers', '2'], SLOW);
    await run.printed(/layer\.committed/);
    run.child.kill('SIGINT');
    const interrupted = await run.finished;
    expect(interrupted.code).toBe(130);
    const hint = /its logs: npx secateur (logs --state (\S+))/.exec(interrupted.stderr);
    const [, command = '', state = ''] = hint ?? [];
    const digest = (): string =>
      createHash('sha256')
        .update(readFileSync(join(state, 'journal.jsonl')))
        .digest('hex');
    const before = digest();

    const hinted = await bench.run(command.split(' '));
    expect(hinted.code, hinted.stderr).toBe(0);
    expect(hinted.stdout).toMatch(/worker-\d agent calibrate-00000-m\S+: begins calibrate-00000-m\S+, lease \d+/);
    expect(hinted.stdout).toMatch(/worker-\d engine \S+: job \S+: files direct/);
    expect(hinted.stdout).toMatch(/coordinator prepare-calibration: given to worker-\d, lease 1, epoch 1/);
    expect(hinted.stdout).toMatch(/coordinator: layer committed layer=0/);
    const byManifest = await bench.run(['logs', '--manifest', manifest, '-o', 'json']);
    expect(byManifest.stdout.trim().split('\n')).toHaveLength(hinted.stdout.trim().split('\n').length);

    const ofNobody = await bench.run(['logs', '--state', state, '--worker', 'nope']);
    expect(ofNobody.code).toBe(3);
    expect(ofNobody.stderr).toContain('no line of worker "nope"; there are lines of worker-1, worker-2');

    const shown = await bench.run(['get', 'job', '--state', state]);
    expect(shown.code, shown.stderr).toBe(0);
    expect(shown.stdout).toMatch(/phase +Pruning \(NoCoordinator\)/);
    expect(shown.stderr).toMatch(/recorded it last, .* ago; no coordinator runs there/);
    const watched = await bench.run(['watch', '--state', state, '-o', 'json']);
    const sequences = watched.stdout
      .trim()
      .split('\n')
      .map((line) => Number(JSON.parse(line).sequence));
    expect(sequences).toEqual(sequences.map((_, index) => index + 1));
    expect(sequences.length).toBeGreaterThan(4);
    expect(digest()).toBe(before);

    const nothing = await bench.run(['logs', 'job', '--state', bench.folder]);
    expect(nothing.code).toBe(3);
    expect(nothing.stderr).toContain('found no journal.jsonl in it');
  });
});

describe('when the coordinator is gone', () => {
  it('submit --wait, watch and logs --follow wait for the next, and miss and repeat no line', async () => {
    await using bench = new Bench();
    const address = `127.0.0.1:${await freePort()}`;
    const first = coordinator(bench, address);
    await first.printed(/listens on/);
    const at = ['--coordinator', address];
    const w1 = worker(bench, address, SLOWER);
    await w1.printed(/attached to/);
    const submitted = bench.start(['submit', manifestFile(bench), '--wait', ...at]);
    await submitted.printed(/layer\.committed/);
    const followed = bench.start(['logs', 'job', '--follow', '-o', 'json', ...at]);
    const watched = bench.start(['watch', 'job', '-o', 'json', ...at]);
    await followed.printed(/begins calibrate-00001/);
    await watched.printed(/layer\.committed/);
    const before = w1.stderr.length;
    await first.kill();
    const saidMeanwhile = (): string | undefined =>
      /ended ((calibrate|forward|prune)-\d+)/.exec(w1.stderr.slice(before))?.[1];
    await expect.poll(saidMeanwhile, { timeout: 60_000 }).toBeDefined();
    for (const each of [submitted, followed, watched]) await each.printed(/the coordinator is away/);
    await coordinator(bench, address).printed(/listens on/);
    for (const each of [submitted, followed, watched]) {
      const finished = await each.finished;
      expect(finished.code, finished.stderr).toBe(0);
    }
    const whole = await bench.run(['logs', 'job', '-o', 'json', ...at]);
    const lines = (text: string): string[] => text.trim().split('\n').sort();
    expect(lines(followed.stdout)).toEqual(lines(whole.stdout));
    // What the agent said while nobody listened is there as well.
    expect(whole.stdout).toContain(`ended ${saidMeanwhile()}`);
    const sequences = lines(watched.stdout).map((line) => Number(JSON.parse(line).sequence));
    expect(sequences.sort((a, b) => a - b)).toEqual(sequences.map((_, index) => index + 1));
  });

  it('a standby that waits for the state folder says so, and takes over from one that was killed', async () => {
    await using bench = new Bench();
    const [a, b] = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${await freePort()}`];
    const first = coordinator(bench, a);
    await first.printed(/listens on/);
    const standby = coordinator(bench, b, '--wait');
    await standby.printed(new RegExp(`another coordinator \\(process ${first.child.pid}, since .*\\) has it`));
    expect(standby.stderr).not.toMatch(/listens on/);
    const turnedAway = await bench.run(['coordinator', '--state', bench.path('state'), '--listen', '127.0.0.1:0']);
    expect(turnedAway.code).toBe(4);
    await first.kill('SIGKILL');
    await standby.printed(/listens on .* epoch 2/);
    const jobs = await bench.run(['get', '--coordinator', b]);
    expect(jobs.code, jobs.stderr).toBe(0);
    // And in an orderly change of guard.
    const third = coordinator(bench, a, '--wait');
    await third.printed(/another coordinator/);
    await standby.kill('SIGTERM');
    await third.printed(/listens on .* epoch 3/);
  });
});
