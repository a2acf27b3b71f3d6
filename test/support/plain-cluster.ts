/** A coordinator and workers as real processes that the test starts and ends one by one, and what their job told. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { epochFlaws } from './job-flaws.ts';
import { freePort } from './nats-server.ts';
import { Bench, digestTree, microManifest, REPOSITORY, type SecateurProcess } from './secateur-process.ts';

const TOKENS = join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors');

/** An event as `watch -o json` prints it. */
export interface ToldEvent {
  readonly type: string;
  readonly sequence: string;
  readonly data: CloudEvent['data'];
}

export class PlainCluster {
  readonly bench: Bench;
  readonly address: string;
  readonly state: string;

  private constructor(bench: Bench, address: string) {
    this.bench = bench;
    this.address = address;
    this.state = bench.path('state');
  }

  static async create(bench: Bench): Promise<PlainCluster> {
    return new PlainCluster(bench, `127.0.0.1:${await freePort()}`);
  }

  async coordinator(env: Record<string, string> = {}): Promise<SecateurProcess> {
    const started = this.bench.start(['coordinator', '--state', this.state, '--listen', this.address], env);
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
  async events(): Promise<ToldEvent[]> {
    const { stdout } = await this.bench.run(['watch', 'job', '-o', 'json', '--coordinator', this.address]);
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
  }
}

export async function quietDigests(): Promise<Record<string, string>> {
  await using bench = new Bench();
  writeFileSync(bench.path('m.yaml'), microManifest({ output: bench.path('quiet'), name: 'job' }));
  const finished = await bench.run(['run', bench.path('m.yaml'), '--workers', '1', '--threads', '1']);
  expect(finished.code, finished.stderr).toBe(0);
  return digestTree(bench.path('quiet'));
}

export async function expectWholeStory(cluster: PlainCluster): Promise<ToldEvent[]> {
  const events = await cluster.events();
  expect(events.map((event) => Number(event.sequence))).toEqual(events.map((_, index) => index + 1));
  expect(epochFlaws(events)).toEqual([]);
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
  return events;
}

export async function waitForJob(cluster: PlainCluster): Promise<string> {
  for (;;) {
    const id = /"job":"(job-[0-9a-f]{6})"/.exec(readFileSync(join(cluster.state, 'journal.jsonl'), 'utf8'))?.[1];
    if (id !== undefined) return id;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export async function waitForCommit(cluster: PlainCluster, layer: number): Promise<void> {
  const journal = join(cluster.state, 'journal.jsonl');
  for (;;) {
    const text = readFileSync(journal, 'utf8');
    if (text.includes(`"name":"layers/${String(layer).padStart(5, '0')}-`)) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
