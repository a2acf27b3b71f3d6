/** Parts that die: the job goes on, ends with the bytes of a quiet run, and computes no committed layer twice. */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { freePort } from '../support/nats-server.ts';
import { Bench, digestTree, microManifest, REPOSITORY, type SecateurProcess } from '../support/secateur-process.ts';

/** Failpoints of the engine, each in the middle of something that must not be left half done. */
const ENGINE_FAILPOINTS = [
  'engine.pass-microbatch:7',
  'engine.pass-computed',
  'engine.linear-pruned:3',
  'engine.layer-written',
  'engine.layer-committed:2',
  'engine.snapshot-written',
];

const TOKENS = join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors');

class Cluster {
  readonly bench: Bench;
  readonly address: string;
  readonly state: string;

  private constructor(bench: Bench, address: string) {
    this.bench = bench;
    this.address = address;
    this.state = bench.path('state');
  }

  static async create(bench: Bench): Promise<Cluster> {
    return new Cluster(bench, `127.0.0.1:${await freePort()}`);
  }

  async coordinator(): Promise<SecateurProcess> {
    const started = this.bench.start(['coordinator', '--state', this.state, '--listen', this.address]);
    await started.printed(/listens on/);
    return started;
  }

  worker(name: string, env: Record<string, string> = {}, args: string[] = []): SecateurProcess {
    return this.bench.start(
      [
        'worker',
        '--coordinator',
        this.address,
        '--name',
        name,
        '--threads',
        '1',
        '--cache',
        this.bench.path(`cache-${name}`),
        ...args,
      ],
      env,
    );
  }

  submit(output: string, options: Partial<Parameters<typeof microManifest>[0]> = {}): SecateurProcess {
    const manifest = this.bench.path('job.yaml');
    writeFileSync(
      manifest,
      microManifest({
        output,
        name: 'job',
        placement: { stages: 2 },
        calibration: { tokens: TOKENS, microbatch: 1 },
        ...options,
      }),
    );
    return this.bench.start(['submit', manifest, '--wait', '--coordinator', this.address]);
  }

  /** The job's events as the journal's replay tells them. */
  async events(): Promise<{ type: string; sequence: string; data: Record<string, unknown> }[]> {
    const { stdout } = await this.bench.run(['watch', 'job', '-o', 'json', '--coordinator', this.address]);
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  }
}

async function quietDigests(): Promise<Record<string, string>> {
  await using bench = new Bench();
  writeFileSync(bench.path('m.yaml'), microManifest({ output: bench.path('quiet'), name: 'job' }));
  const finished = await bench.run(['run', bench.path('m.yaml'), '--workers', '1', '--threads', '1']);
  expect(finished.code, finished.stderr).toBe(0);
  return digestTree(bench.path('quiet'));
}

async function expectWholeStory(cluster: Cluster): Promise<void> {
  const events = await cluster.events();
  expect(events.map((event) => Number(event.sequence))).toEqual(events.map((_, index) => index + 1));
  const committed = events
    .filter((event) => event.type === 'secateur.layer.committed.v1')
    .map((event) => event.data.layer);
  expect([...committed].sort()).toEqual([0, 1, 2, 3]);
  // Nothing is calibrated after it was committed.
  for (const [index, event] of events.entries()) {
    if (event.type !== 'secateur.layer.calibrated.v1') continue;
    const before = events
      .slice(0, index)
      .some((each) => each.type === 'secateur.layer.committed.v1' && each.data.layer === event.data.layer);
    expect(before, `layer ${event.data.layer} was calibrated again`).toBe(false);
  }
  expect(events.at(-1)?.type).toBe('secateur.job.succeeded.v1');
}

describe('a job goes on when parts die', () => {
  /** What every disturbed run must give. */
  let quiet: Record<string, string>;
  beforeAll(async () => {
    quiet = await quietDigests();
  });

  it('the coordinator is killed twice and started again: the same bytes, no committed layer computed again', async () => {
    await using bench = new Bench();
    const cluster = await Cluster.create(bench);
    let coordinator = await cluster.coordinator();
    cluster.worker('w1', { SECATEUR_SLOW_MS: '15' });
    cluster.worker('w2', { SECATEUR_SLOW_MS: '15' });
    const job = cluster.submit(bench.path('out'));
    const watcher = bench.start(['watch', 'job', '-o', 'json', '--coordinator', cluster.address]);
    for (const layer of [0, 2]) {
      await waitForCommit(cluster, layer);
      await coordinator.kill();
      coordinator = await cluster.coordinator();
    }
    const finished = await job.finished;
    expect(finished.code, finished.stderr).toBe(0);
    await watcher.kill();
    expect(digestTree(bench.path('out'))).toEqual(quiet);
    await expectWholeStory(cluster);
  });

  it('a worker is killed and none comes back for a while: another takes its stage', async () => {
    await using bench = new Bench();
    const cluster = await Cluster.create(bench);
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

  for (const failpoint of ENGINE_FAILPOINTS) {
    it(`the engine dies at ${failpoint}: the task is tried again`, async () => {
      await using bench = new Bench();
      const cluster = await Cluster.create(bench);
      await cluster.coordinator();
      // The failpoint's count is the engine's own: every new engine of this worker dies at the same place again, so a
      // second worker has to finish.
      const weak = cluster.worker('weak', { SECATEUR_FAILPOINT: failpoint });
      await weak.printed(/attached to/);
      const job = cluster.submit(bench.path('out'));
      await weak.printed(/the engine ended/);
      cluster.worker('strong');
      await weak.kill();
      const finished = await job.finished;
      expect(finished.code, finished.stderr).toBe(0);
      expect(digestTree(bench.path('out'))).toEqual(quiet);
      await expectWholeStory(cluster);
    });
  }

  it('a worker that does not see the paths reads and writes through the coordinator: the same bytes', async () => {
    await using bench = new Bench();
    const cluster = await Cluster.create(bench);
    await cluster.coordinator();
    cluster.worker('far', {}, ['--storage', 'coordinator']);
    const finished = await cluster.submit(bench.path('out')).finished;
    expect(finished.code, finished.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('cancel stops the job, resume goes on from the committed layers', async () => {
    await using bench = new Bench();
    const cluster = await Cluster.create(bench);
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
    const cluster = await Cluster.create(bench);
    await cluster.coordinator();
    const job = cluster.submit(bench.path('out'));
    const id = await waitForJob(cluster);
    mkdirSync(join(cluster.state, 'jobs', id), { recursive: true });
    writeFileSync(join(cluster.state, 'jobs', id, 'statistics'), 'a file where a folder should be');
    cluster.worker('w1');
    const failed = await job.finished;
    expect(failed.code).not.toBe(0);
    expect(failed.stderr).toMatch(/calibrate-00000 on w1 failed \(tried 4 times\)/);
    rmSync(join(cluster.state, 'jobs', id, 'statistics'));
    const resumed = await bench.run(['resume', id, '--coordinator', cluster.address]);
    expect(resumed.code, resumed.stderr).toBe(0);
    const watched = await bench.run(['watch', id, '--coordinator', cluster.address]);
    expect(watched.code, watched.stderr).toBe(0);
    expect(digestTree(bench.path('out'))).toEqual(quiet);
  });

  it('a second coordinator on the same state is turned away, with the process that has it', async () => {
    await using bench = new Bench();
    const cluster = await Cluster.create(bench);
    const first = await cluster.coordinator();
    const second = await bench.run(['coordinator', '--state', cluster.state, '--listen', '127.0.0.1:0']);
    expect(second.code).toBe(4);
    expect(second.stderr).toContain(String(first.child.pid));
  });
});

async function waitForJob(cluster: Cluster): Promise<string> {
  for (;;) {
    const id = /"job":"(job-[0-9a-f]{6})"/.exec(readFileSync(join(cluster.state, 'journal.jsonl'), 'utf8'))?.[1];
    if (id !== undefined) return id;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function waitForCommit(cluster: Cluster, layer: number): Promise<void> {
  const journal = join(cluster.state, 'journal.jsonl');
  for (;;) {
    const text = readFileSync(journal, 'utf8');
    if (text.includes(`"name":"layers/${String(layer).padStart(5, '0')}-`)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
