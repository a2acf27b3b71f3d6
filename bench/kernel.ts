/**
 * What `secateur bench kernel` leaves out, in nanoseconds per weight: longer rows, other groups, a matrix kept whole (one
 * thread, a chunk of about 1 MiB, beside a copy of the same bytes), per-row sorts in plain JavaScript, and the pool from
 * file to file.
 *
 *     npx node bench/kernel.ts [--json]
 *
 * The least of the repeats of the kernel, medians of the others. Weights are normal, norms log-normal.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { KernelBench } from '../cli/bench/kernel-bench.ts';
import type { FloatDtype } from '../shared/safetensors/dtype.ts';
import { CHUNK_BYTES, weightSizeBytes } from '../worker/kernels/kernel-layout.ts';
import { KernelPool } from '../worker/kernels/kernel-pool.ts';
import { widenWeight } from '../worker/kernels/reference.ts';
import { sampleNorms, sampleWeights } from '../worker/kernels/sample-weights.ts';
import type { Selection } from '../worker/kernels/selection.ts';

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

async function timeKernel(
  bench: KernelBench,
  columns: number,
  selection: Selection,
  label: string,
  dtype: FloatDtype = 'BF16',
): Promise<Figure> {
  const rows = Math.floor(CHUNK_BYTES / (columns * weightSizeBytes(dtype)));
  const times = await bench.measure({
    ...{ dtype, columns, selection, threads: 1, sizeBytes: CHUNK_BYTES, warmups: WARMUP_REPEATS, repeats: REPEATS },
    weights: sampleWeights(dtype, rows * columns),
    columnNorms: sampleNorms(columns),
  });
  return { what: `${dtype} ${label}, ${columns} columns`, ...times };
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
  const weights = new Uint16Array(sampleWeights('BF16', SORT_ROWS * columns).buffer);
  const norms = sampleNorms(columns);
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
    const part = sampleWeights('BF16', 1 << 22);
    await writeFile(source.file, Buffer.concat(Array<Uint8Array>((rows * columns) >> 22).fill(part)));
    const times: number[] = [];
    for (let repeat = 0; repeat <= POOL_REPEATS; repeat++) {
      const begun = performance.now();
      await pool.pruneMatrix({
        ...POOL_MATRIX,
        saliency: { kind: 'normed', columnNorms: sampleNorms(columns) },
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
  const half = (columns: number): Selection => ({ kind: 'row', prunedPerRow: columns / 2 });
  const group = (keep: number, size: number): Selection => ({ kind: 'group', keep, group: size });
  await using bench = await KernelBench.start(1);
  const kernels = [
    await timeKernel(bench, 8192, half(8192), '50 %'),
    await timeKernel(bench, 22016, half(22016), '50 %'),
    await timeKernel(bench, 8192, group(8, 16), '8:16'),
    await timeKernel(bench, 8192, group(16, 32), '16:32'),
    await timeKernel(bench, 8192, group(8, 16), '8:16', 'F32'),
    await timeKernel(bench, 8192, { kind: 'keepAll' }, 'kept whole'),
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
