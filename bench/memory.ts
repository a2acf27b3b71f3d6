/**
 * Peak memory of every process of a run on a synthetic model, beside the bounds that secateur states:
 * a worker (agent + engine) holds at most 3 x its largest layer in fp32, its hidden states, and 500 MB; the coordinator
 * stays below 250 MB. Bytes that are only mapped from files are counted apart: the kernel takes them back when it likes.
 *
 *     npx node bench/memory.ts [--hidden 4096] [--intermediate 11008] [--heads 32] [--layers 3] [--samples 4] [--sequence 512] [--json]
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { layoutSafetensors } from '../shared/safetensors/layout.ts';
import { writeSafetensorsFile } from '../shared/safetensors/write-file.ts';

const MB = 1e6;
const SAMPLE_INTERVAL_MS = 50;
const LAUNCHER = fileURLToPath(new URL('../cli/secateur.js', import.meta.url));

interface Shape {
  readonly hidden: number;
  readonly intermediate: number;
  readonly heads: number;
  readonly layers: number;
  readonly samples: number;
  readonly sequence: number;
}

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

/** A checkpoint of that shape in bf16: weights from a small pool of random numbers, scaled like a trained model's. */
function writeModel(folder: string, shape: Shape): void {
  const { hidden, intermediate, layers, heads } = shape;
  const vocabulary = 512;
  const tensors: { name: string; dtype: 'BF16'; shape: number[] }[] = [
    { name: 'model.embed_tokens.weight', dtype: 'BF16', shape: [vocabulary, hidden] },
  ];
  for (let layer = 0; layer < layers; layer++) {
    const add = (name: string, ...dims: number[]): void =>
      void tensors.push({ name: `model.layers.${layer}.${name}.weight`, dtype: 'BF16', shape: dims });
    for (const name of ['q', 'k', 'v', 'o']) add(`self_attn.${name}_proj`, hidden, hidden);
    for (const name of ['gate', 'up']) add(`mlp.${name}_proj`, intermediate, hidden);
    add('mlp.down_proj', hidden, intermediate);
    add('input_layernorm', hidden);
    add('post_attention_layernorm', hidden);
  }
  tensors.push(
    { name: 'model.norm.weight', dtype: 'BF16', shape: [hidden] },
    { name: 'lm_head.weight', dtype: 'BF16', shape: [vocabulary, hidden] },
  );
  const layout = layoutSafetensors(tensors);
  const file = openSync(join(folder, 'model.safetensors'), 'w');
  writeSync(file, layout.headerBytes);
  const pool = randomPool(1 << 20);
  const ones = new Uint16Array(hidden).fill(0x3f80);
  for (const tensor of tensors) {
    const bytes = tensor.shape.reduce((a, b) => a * b, 1) * 2;
    const source = Buffer.from(tensor.shape.length === 1 ? ones.buffer : pool.buffer);
    for (let done = 0; done < bytes; ) done += writeSync(file, source, 0, Math.min(source.length, bytes - done));
  }
  closeSync(file);
  const config = {
    architectures: ['LlamaForCausalLM'],
    hidden_size: hidden,
    intermediate_size: intermediate,
    num_hidden_layers: layers,
    num_attention_heads: heads,
    num_key_value_heads: heads,
    vocab_size: vocabulary,
    rms_norm_eps: 1e-5,
    max_position_embeddings: 4096,
    hidden_act: 'silu',
    torch_dtype: 'bfloat16',
  };
  writeFileSync(join(folder, 'config.json'), JSON.stringify(config));
}

/** bf16 numbers about as large as 1/sqrt(4096), by a small generator. */
function randomPool(count: number): Uint16Array {
  const pool = new Uint16Array(count);
  let state = 0x9e3779b9;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    pool[index] = (state & 0x80000000 ? 0x8000 : 0) | (0x3c00 + ((state >>> 8) & 0xff));
  }
  return pool;
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
    writeModel(folder, shape);
    const ids = Int32Array.from({ length: shape.samples * shape.sequence }, (_, index) => (index * 7919) % 512);
    await writeSafetensorsFile(join(folder, 'ids.safetensors'), [
      { name: 'input_ids', dtype: 'I32', shape: [shape.samples, shape.sequence], data: new Uint8Array(ids.buffer) },
    ]);
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
