/**
 * Peak memory of every process of a run on a synthetic model, beside the bounds that secateur states:
 * a worker (agent + engine) holds at most 3 x its largest layer in fp32, its hidden states, and 500 MB; the coordinator
 * stays below 250 MB. Bytes that are only mapped from files are counted apart: the kernel takes them back when it likes.
 *
 *     npx node bench/memory.ts [--hidden 4096] [--intermediate 11008] [--heads 32] [--layers 3] [--samples 4] [--sequence 512] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type Shape, writeModel } from './synthetic-model.ts';

const MB = 1e6;
const SAMPLE_INTERVAL_MS = 50;
const LAUNCHER = fileURLToPath(new URL('../cli/secateur.js', import.meta.url));

function readShape(): { shape: Shape; json: boolean } {
  const { values } = parseArgs({
    options: {
      hidden: { type: 'string', default: '4096' },
      intermediate: { type: 'string', default: '11008' },
      heads: { type: 'string', default: '32' },
      layers: { type: 'string', default: '3' },
      samples: { type: 'string', default: '4' },
      sequence: { type: 'string', default: '512' },
      json: { type: 'boolean', default: false },
    },
  });
  const { json, ...numbers } = values;
  return {
    shape: Object.fromEntries(Object.entries(numbers).map(([key, text]) => [key, Number(text)])) as unknown as Shape,
    json,
  };
}

interface Peak {
  residentBytes: number;
  anonymousBytes: number;
}

function statusOf(processId: number): Peak | null {
  try {
    const status = readFileSync(`/proc/${processId}/status`, 'utf8');
    const kilobytes = (field: string): number =>
      Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0) * 1024;
    return { residentBytes: kilobytes('VmRSS'), anonymousBytes: kilobytes('RssAnon') + kilobytes('RssShmem') };
  } catch {
    return null; // It has ended: its peak so far stands.
  }
}

function childrenOf(processId: number): number[] {
  try {
    return readFileSync(`/proc/${processId}/task/${processId}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean)
      .map(Number);
  } catch {
    return []; // As above.
  }
}

class Watch {
  readonly peaks = new Map<string, Peak>();
  private readonly timer: NodeJS.Timeout;

  constructor(roots: Readonly<Record<string, ChildProcess>>) {
    this.timer = setInterval(() => {
      for (const [name, child] of Object.entries(roots)) {
        this.note(name, child.pid as number);
        for (const engine of childrenOf(child.pid as number)) this.note(`${name}'s engine`, engine);
      }
    }, SAMPLE_INTERVAL_MS);
  }

  private note(name: string, processId: number): void {
    const now = statusOf(processId);
    if (now === null) return;
    const peak = this.peaks.get(name) ?? { residentBytes: 0, anonymousBytes: 0 };
    peak.residentBytes = Math.max(peak.residentBytes, now.residentBytes);
    peak.anonymousBytes = Math.max(peak.anonymousBytes, now.anonymousBytes);
    this.peaks.set(name, peak);
  }

  stop(): void {
    clearInterval(this.timer);
  }
}

function start(args: readonly string[]): ChildProcess {
  return spawn(process.execPath, [LAUNCHER, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
}

function printed(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = '';
    const look = (chunk: Buffer): void => {
      text += chunk.toString();
      const match = pattern.exec(text);
      if (match !== null) resolve(match);
    };
    child.stdout?.on('data', look);
    child.stderr?.on('data', look);
    child.on('close', () => reject(new Error(`ended without printing ${pattern}: ${text}`)));
  });
}

async function main(): Promise<void> {
  const { shape, json } = readShape();
  const folder = mkdtempSync(join(tmpdir(), 'secateur-memory-'));
  const children: ChildProcess[] = [];
  try {
    await writeModel(folder, shape);
    const manifest = {
      apiVersion: 'secateur/v1',
      kind: 'PruneJob',
      metadata: { name: 'memory' },
      spec: {
        model: { source: folder },
        output: { destination: join(folder, 'out') },
        calibration: { tokens: join(folder, 'ids.safetensors') },
        pruning: { method: 'wanda', sparsity: 0.5 },
        placement: { stages: 1 },
      },
    };
    writeFileSync(join(folder, 'job.yaml'), JSON.stringify(manifest));
    const coordinator = start(['coordinator', '--state', join(folder, 'state'), '--listen', '127.0.0.1:0']);
    children.push(coordinator);
    const address = (await printed(coordinator, /listens on (\S+:\d+)/))[1] as string;
    const worker = start([
      'worker',
      '--coordinator',
      address,
      '--name',
      'w1',
      '--threads',
      '2',
      '--cache',
      join(folder, 'cache'),
    ]);
    children.push(worker);
    await printed(worker, /attached to/);
    const watch = new Watch({ coordinator, worker });
    const started = performance.now();
    const job = start(['submit', join(folder, 'job.yaml'), '--wait', '--coordinator', address]);
    children.push(job);
    const code = await new Promise((resolve) => job.on('close', resolve));
    watch.stop();
    if (code !== 0) throw new Error(`the job ended with exit code ${code}`);
    report(shape, watch.peaks, performance.now() - started, json);
  } finally {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  }
}

function report(shape: Shape, peaks: ReadonlyMap<string, Peak>, elapsedMs: number, json: boolean): void {
  const { hidden, intermediate, samples, sequence } = shape;
  const layerBytes = (4 * hidden * hidden + 3 * hidden * intermediate) * 4;
  const hiddenBytes = samples * sequence * hidden * 4;
  const workerBound = 3 * layerBytes + hiddenBytes + 500 * MB;
  const workerPeak = (peaks.get('worker')?.residentBytes ?? 0) + (peaks.get("worker's engine")?.residentBytes ?? 0);
  const coordinatorPeak = peaks.get('coordinator')?.residentBytes ?? 0;
  const result = {
    shape,
    elapsedMs: Math.round(elapsedMs),
    peaks: Object.fromEntries(peaks),
    worker: { peakBytes: workerPeak, boundBytes: workerBound, holds: workerPeak <= workerBound },
    coordinator: { peakBytes: coordinatorPeak, boundBytes: 250 * MB, holds: coordinatorPeak <= 250 * MB },
  };
  if (json) {
    console.log(JSON.stringify(result, null, 2));
  } else {
    console.log(
      `layer in fp32 ${Math.round(layerBytes / MB)} MB, hidden states ${Math.round(hiddenBytes / MB)} MB, ${(elapsedMs / 1000).toFixed(1)} s`,
    );
    for (const [name, peak] of peaks) {
      console.log(
        `${name.padEnd(20)} peak ${String(Math.round(peak.residentBytes / MB)).padStart(6)} MB resident, ${String(Math.round(peak.anonymousBytes / MB)).padStart(6)} MB of its own`,
      );
    }
    console.log(
      `worker and engine    ${Math.round(workerPeak / MB)} MB, bound ${Math.round(workerBound / MB)} MB: ${result.worker.holds ? 'holds' : 'BROKEN'}`,
    );
    console.log(
      `coordinator          ${Math.round(coordinatorPeak / MB)} MB, bound 250 MB: ${result.coordinator.holds ? 'holds' : 'BROKEN'}`,
    );
  }
  if (!result.worker.holds || !result.coordinator.holds) process.exitCode = 1;
}

await main();
