/** Real secateur processes for tests: started, watched, killed by their own id, and never left behind. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const LAUNCHER = join(REPOSITORY, 'cli/secateur.js');

export interface Finished {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

export class SecateurProcess {
  readonly child: ChildProcess;
  readonly finished: Promise<Finished>;
  stdout = '';
  stderr = '';
  private readonly watchers = new Set<() => void>();

  /** @param prefix a command that runs the rest of its line in its own place (ip netns exec …) */
  constructor(args: readonly string[], env: Record<string, string> = {}, prefix: readonly string[] = []) {
    const [command, ...rest] = [...prefix, process.execPath, LAUNCHER, ...args] as [string, ...string[]];
    this.child = spawn(command, rest, {
      cwd: REPOSITORY,
      env: { ...process.env, NO_COLOR: '1', ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
      for (const watcher of this.watchers) watcher();
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
      for (const watcher of this.watchers) watcher();
    });
    this.finished = new Promise((resolve, reject) => {
      this.child.on('error', reject);
      this.child.on('close', (code, signal) => {
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr });
        for (const watcher of this.watchers) watcher();
      });
    });
  }

  /** Resolves with the match once the process has printed it; rejects when it ends, or stays silent, without. */
  printed(pattern: RegExp, timeoutMs = 60_000): Promise<RegExpExecArray> {
    return new Promise((resolve, reject) => {
      const look = (): void => {
        const match = pattern.exec(this.stdout + this.stderr);
        if (match !== null) settle(() => resolve(match));
        else if (this.child.exitCode !== null || this.child.signalCode !== null)
          settle(() => reject(this.missing(pattern, 'it ended')));
      };
      const timer = setTimeout(() => settle(() => reject(this.missing(pattern, `${timeoutMs} ms passed`))), timeoutMs);
      const settle = (end: () => void): void => {
        clearTimeout(timer);
        this.watchers.delete(look);
        end();
      };
      this.watchers.add(look);
      look();
    });
  }

  private missing(pattern: RegExp, why: string): Error {
    return new Error(
      `${this.child.spawnargs.slice(2).join(' ')}: never printed ${pattern}; ${why}.\nstdout:\n${this.stdout}\nstderr:\n${this.stderr}`,
    );
  }

  async kill(signal: NodeJS.Signals = 'SIGKILL'): Promise<Finished> {
    this.child.kill(signal);
    return this.finished;
  }
}

/** A folder and processes that go when the test ends: `await using bench = new Bench()`. */
export class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), 'secateur-test-'));
  private readonly processes: SecateurProcess[] = [];

  path(...parts: string[]): string {
    return join(this.folder, ...parts);
  }

  start(args: readonly string[], env: Record<string, string> = {}, prefix: readonly string[] = []): SecateurProcess {
    const started = new SecateurProcess(args, { XDG_STATE_HOME: this.path('state-home'), ...env }, prefix);
    this.processes.push(started);
    return started;
  }

  run(args: readonly string[], env: Record<string, string> = {}, prefix: readonly string[] = []): Promise<Finished> {
    return this.start(args, env, prefix).finished;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const each of this.processes) await each.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** What holds times and workers: no two runs write the same. */
const OF_ONE_RUN: ReadonlySet<string> = new Set(['secateur.json', 'report.html']);

/** SHA-256 of every file below a folder, by relative name; what belongs to one run left out. */
export function digestTree(folder: string): Record<string, string> {
  const digests: Record<string, string> = {};
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || OF_ONE_RUN.has(entry.name)) continue;
    const path = join(entry.parentPath, entry.name);
    digests[relative(folder, path)] = createHash('sha256').update(readFileSync(path)).digest('hex');
  }
  return digests;
}

export interface ManifestOptions {
  readonly output: string;
  readonly name?: string;
  readonly source?: string;
  readonly pruning?: Record<string, unknown>;
  readonly placement?: Record<string, unknown>;
  readonly calibration?: Record<string, unknown>;
  readonly maxShardSize?: string;
  readonly evaluation?: Record<string, unknown>;
  readonly qualityGate?: Record<string, unknown>;
}

/** micro-llama with the golden calibration ids, as a manifest (JSON is YAML). */
export function microManifest(options: ManifestOptions): string {
  return JSON.stringify({
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: options.name ?? 'micro' },
    spec: {
      model: { source: options.source ?? join(REPOSITORY, 'examples/micro-llama/model') },
      output: {
        destination: options.output,
        ...(options.maxShardSize === undefined ? {} : { maxShardSize: options.maxShardSize }),
      },
      calibration: options.calibration ?? {
        tokens: join(REPOSITORY, 'test/golden/fixtures/micro/calibration.safetensors'),
      },
      pruning: options.pruning ?? { method: 'wanda', sparsity: 0.5 },
      ...(options.placement === undefined ? {} : { placement: options.placement }),
      ...(options.evaluation === undefined ? {} : { evaluation: options.evaluation }),
      ...(options.qualityGate === undefined ? {} : { qualityGate: options.qualityGate }),
    },
  });
}
