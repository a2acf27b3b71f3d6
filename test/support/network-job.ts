/**
 * A coordinator and three workers, each on a host of its own, and one job of micro-llama on them. What is told is heard
 * on the coordinator's host, over its own loopback: however much is cut off.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { CloudEvent } from '../../shared/events/cloud-event.ts';
import { NetworkHosts } from './network-hosts.ts';
import { Bench, microManifest, REPOSITORY, type SecateurProcess } from './secateur-process.ts';

const COORDINATOR = 'coordinator';
const WORKERS = ['w1', 'w2', 'w3'] as const;
const PORT = 7070;
/** A pause after each of the 16 microbatches of a pass: a fault falls into a pass, and a job outlasts what it waits for. */
const SLOW_MS = '100';

export class NetworkJob implements AsyncDisposable {
  readonly hosts: NetworkHosts;
  readonly bench = new Bench();
  private watcher: SecateurProcess | null = null;

  private constructor(hosts: NetworkHosts) {
    this.hosts = hosts;
  }

  static async start(): Promise<NetworkJob> {
    const job = new NetworkJob(await NetworkHosts.create([COORDINATOR, ...WORKERS]));
    try {
      await job.begin();
      return job;
    } catch (thrown) {
      await job[Symbol.asyncDispose]();
      throw thrown;
    }
  }

  get output(): string {
    return this.bench.path('out');
  }

  /** Everything told so far, in order. */
  told(): CloudEvent[] {
    const lines = (this.watcher?.stdout ?? '').split('\n');
    // The last line may not be whole yet.
    return lines.slice(0, -1).map((line) => JSON.parse(line) as CloudEvent);
  }

  /** How the watcher ended: as the job did. */
  async ended(): Promise<{ code: number | null; stderr: string }> {
    return (this.watcher as SecateurProcess).finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.bench[Symbol.asyncDispose]();
    await this.hosts[Symbol.asyncDispose]();
  }

  private async begin(): Promise<void> {
    const address = `${this.hosts.addressOf(COORDINATOR)}:${PORT}`;
    const beside = (args: string[]): SecateurProcess => this.bench.start(args, {}, this.hosts.prefixOf(COORDINATOR));
    const coordinator = beside(['coordinator', '--state', this.bench.path('state'), '--listen', address]);
    await coordinator.printed(/listens on/);
    const workers = WORKERS.map((name) => {
      const args = ['--coordinator', address, '--name', name, '--threads', '1', '--cache', this.bench.path(name)];
      const storage = name === 'w3' ? 'coordinator' : 'auto';
      const env = { SECATEUR_SLOW_MS: SLOW_MS };
      return this.bench.start(['worker', ...args, '--storage', storage], env, this.hosts.prefixOf(name));
    });
    for (const worker of workers) await worker.printed(/attached to/);
    const manifest = this.bench.path('job.yaml');
    writeFileSync(manifest, networkManifest(this.output));
    const submitted = await beside(['submit', manifest, '--coordinator', address]).finished;
    if (submitted.code !== 0) throw new Error(submitted.stderr);
    this.watcher = beside(['watch', 'job', '-o', 'json', '--coordinator', address]);
  }
}

export function networkManifest(output: string): string {
  const tokens = join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors');
  return microManifest({ output, name: 'job', placement: { stages: 3 }, calibration: { tokens, microbatch: 1 } });
}
