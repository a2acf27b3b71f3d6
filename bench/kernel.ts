/**
 * How fast the prune kernel is, in nanoseconds per weight: one thread on a chunk of about 1 MiB, beside a copy of the
 * same bytes in the same run and beside per-row sorts in plain JavaScript; then the pool from file to file.
 *
 *     npx node bench/kernel.ts [--json]
 *
 * Medians of REPEATS; every repeat prunes a fresh copy of the weights. Weights are normal, norms log-normal.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { gaussian, storeWeight } from '../test/support/kernel-cases.ts';
import { InMemoryKernel } from '../test/support/kernel-in-memory.ts';
import { seededRandom } from '../test/support/seeded-random.ts';
import { compileKernel } from '../worker/kernels/kernel.ts';
import { CHUNK_BYTES, weightSizeBytes } from '../worker/kernels/kernel-layout.ts';
import { KernelPool } from '../worker/kernels/kernel-pool.ts';
import { widenWeight } from '../worker/kernels/reference.ts';
import type { MatrixDescription, Selection } from '../worker/kernels/selection.ts';

const REPEATS = 101;
const WARMUP_REPEATS = 30;
const SORT_ROWS = 16;
const POOL_MATRIX = { tensor: 'bench', dtype: 'BF16', rows: 8192, columns: 8192 } as const;
const POOL_REPEATS = 5;

interface Figure {
  readonly what: string;
  readonly nsPerWeight: number;
  /** The copy of the same bytes, between the same calls. */
  readonly copyNsPerWeight?: number;
}

function median(values: number[]): number {
  return values.sort((a, b) => a - b)[values.length >> 1] as number;
}

function makeWeights(dtype: MatrixDescription['dtype'], length: number): Uint8Array {
  const random = seededRandom(1);
  const weights = dtype === 'F32' ? new Float32Array(length) : new Uint16Array(length);
  for (let i = 0; i < length; i++) weights[i] = storeWeight(dtype, 0.02 * gaussian(random));
  return new Uint8Array(weights.buffer);
}

function makeNorms(columns: number): Float32Array {
  const random = seededRandom(2);
  return Float32Array.from({ length: columns }, () => Math.exp(0.5 * gaussian(random)));
}

function timeKernel(
  kernel: InMemoryKernel,
  dtype: MatrixDescription['dtype'],
  columns: number,
  selection: Selection,
  label: string,
): Figure {
  const rows = Math.floor(CHUNK_BYTES / (columns * weightSizeBytes(dtype)));
  const weights = makeWeights(dtype, rows * columns);
  const chunk = kernel.begin({ tensor: 'bench', dtype, rows, columns }, makeNorms(columns), selection);
  const copies: number[] = [];
  const prunes: number[] = [];
  for (let repeat = 0; repeat < REPEATS + WARMUP_REPEATS; repeat++) {
    const begun = process.hrtime.bigint();
    chunk.set(weights);
    const copied = process.hrtime.bigint();
    kernel.run(rows);
    const pruned = process.hrtime.bigint();
    if (repeat < WARMUP_REPEATS) continue;
    copies.push(Number(copied - begun));
    prunes.push(Number(pruned - copied));
  }
  const each = (values: number[]) => median(values) / (rows * columns);
  return { what: `${dtype} ${label}, ${columns} columns`, nsPerWeight: each(prunes), copyNsPerWeight: each(copies) };
}

/** What a JavaScript programmer would write: the columns of a row sorted by metric, the first half zeroed. */
function timeColumnSort(): Figure {
  return timeSort('columns sorted by metric, stable', (metrics, row, pruned) => {
    const order = Array.from(metrics, (_, column) => column);
    order.sort((a, b) => (metrics[a] as number) - (metrics[b] as number));
    for (let i = 0; i < pruned; i++) row[order[i] as number] = 0;
  });
}

/** The fastest sort there is: V8's own of numbers; ties are not kept exact. */
function timeMetricSort(): Figure {
  return timeSort('metrics sorted as numbers, then a threshold', (metrics, row, pruned) => {
    const threshold = metrics.slice().sort()[pruned] as number;
    for (let column = 0; column < row.length; column++) {
      if ((metrics[column] as number) < threshold) row[column] = 0;
    }
  });
}

function timeSort(what: string, prune: (metrics: Float32Array, row: Uint16Array, pruned: number) => void): Figure {
  const columns = 8192;
  const weights = new Uint16Array(makeWeights('BF16', SORT_ROWS * columns).buffer);
  const norms = makeNorms(columns);
  const wide = Float32Array.from({ length: 65536 }, (_, bits) => Math.abs(widenWeight('BF16', bits)));
  const times: number[] = [];
  for (let first = 0; first < weights.length; first += columns) {
    const row = weights.subarray(first, first + columns);
    const begun = process.hrtime.bigint();
    const metrics = new Float32Array(columns);
    for (let i = 0; i < columns; i++) metrics[i] = (wide[row[i] as number] as number) * (norms[i] as number);
    prune(metrics, row, columns / 2);
    times.push(Number(process.hrtime.bigint() - begun));
  }
  return { what: `plain JavaScript: ${what}, BF16 50 %, 8192 columns`, nsPerWeight: median(times) / columns };
}

async function timePool(threads: number): Promise<Figure> {
  const folder = await mkdtemp(join(tmpdir(), 'secateur-bench-'));
  const pool = await KernelPool.create({ threads });
  const { rows, columns } = POOL_MATRIX;
  try {
    const source = { file: join(folder, 'source.bin'), offset: 0 };
    const part = makeWeights('BF16', 1 << 22);
    await writeFile(source.file, Buffer.concat(Array<Uint8Array>((rows * columns) >> 22).fill(part)));
    const times: number[] = [];
    for (let repeat = 0; repeat <= POOL_REPEATS; repeat++) {
      const begun = performance.now();
      await pool.pruneMatrix({
        ...POOL_MATRIX,
        saliency: { kind: 'normed', columnNorms: makeNorms(columns) },
        selection: { kind: 'row', prunedPerRow: columns / 2 },
        source,
        destination: { file: join(folder, 'destination.bin'), offset: 0 },
      });
      if (repeat > 0) times.push(performance.now() - begun);
    }
    const nsPerWeight = (median(times) * 1e6) / (rows * columns);
    return { what: `pool, file to file (page cache), ${threads} threads, BF16 50 % [8192, 8192]`, nsPerWeight };
  } finally {
    await pool.close();
    await rm(folder, { recursive: true });
  }
}

async function main(): Promise<void> {
  const kernel = new InMemoryKernel(await compileKernel());
  const half = (columns: number): Selection => ({ kind: 'row', prunedPerRow: columns / 2 });
  const group = (keep: number, size: number): Selection => ({ kind: 'group', keep, group: size });
  const kernels = [
    timeKernel(kernel, 'BF16', 8192, half(8192), '50 %'),
    timeKernel(kernel, 'BF16', 22016, half(22016), '50 %'),
    timeKernel(kernel, 'F16', 8192, half(8192), '50 %'),
    timeKernel(kernel, 'F32', 8192, half(8192), '50 %'),
    timeKernel(kernel, 'BF16', 8192, group(2, 4), '2:4'),
    timeKernel(kernel, 'F16', 8192, group(2, 4), '2:4'),
    timeKernel(kernel, 'BF16', 8192, group(4, 8), '4:8'),
    timeKernel(kernel, 'BF16', 8192, group(8, 16), '8:16'),
    timeKernel(kernel, 'BF16', 8192, { kind: 'keepAll' }, 'kept whole'),
  ];
  const sorts = [timeColumnSort(), timeMetricSort()];
  const pools: Figure[] = [];
  for (const threads of new Set([1, availableParallelism()])) pools.push(await timePool(threads));
  const base = (kernels[0] as Figure).nsPerWeight;
  if (process.argv.includes('--json')) {
    const machine = { cpu: cpus()[0]?.model, threads: availableParallelism(), node: process.version };
    console.log(JSON.stringify({ machine, kernels, sorts, pools }, null, 2));
    return;
  }
  const table = [...kernels, ...sorts, ...pools].map((figure) => ({
    what: figure.what,
    'ns per weight': figure.nsPerWeight.toFixed(2),
    'copy, ns per weight': figure.copyNsPerWeight?.toFixed(2) ?? '',
    'kernel BF16 50 % is faster by': sorts.includes(figure) ? `${Math.round(figure.nsPerWeight / base)}x` : '',
  }));
  console.table(table);
}

await main();
