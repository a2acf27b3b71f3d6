/** Everything that `secateur bench kernel` measures, as data. */
import { availableParallelism, cpus, loadavg } from 'node:os';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { CHUNK_BYTES, weightSizeBytes } from '../../worker/kernels/kernel-layout.ts';
import { sampleNorms, sampleWeights } from '../../worker/kernels/sample-weights.ts';
import type { Selection } from '../../worker/kernels/selection.ts';
import { KernelBench, type KernelTimes } from './kernel-bench.ts';

const DTYPES: readonly FloatDtype[] = ['BF16', 'F16', 'F32'];
const COLUMNS = 8192;
const SELECTIONS: Readonly<Record<string, Selection>> = {
  '50 %': { kind: 'row', prunedPerRow: COLUMNS / 2 },
  '2:4': { kind: 'group', keep: 2, group: 4 },
  '4:8': { kind: 'group', keep: 4, group: 8 },
};

/** LLaMA-65B, and what the paper of Wanda took to choose its weights, on NVIDIA A6000s (arXiv 2306.11695, "time overhead"). */
const MODEL_WEIGHTS = 65e9;
const PAPER_SECONDS = 5.6;

const CHUNK_REPEATS = { warmups: 30, repeats: 101 };
const LARGE_REPEATS = { warmups: 1, repeats: 3 };
const HARD_REPEATS = { warmups: 10, repeats: 31 };

/** Rows that are hard for a search of a threshold; `norm` is 1 where it is left out. */
const HARD_ROWS: Readonly<Record<string, HardRows>> = {
  'all equal': { weight: () => 0.5 },
  'all zero': { weight: () => 0 },
  '60 % dead columns': { weight: (normal) => 0.02 * normal, norm: (column) => (column % 5 < 3 ? 0 : 1) },
  // 70 % of all normal numbers are less.
  '70 % zero already': { weight: (normal) => (normal < 0.5244 ? 0 : 0.02 * normal) },
  sorted: { weight: (_, index) => 0.001 * ((index % COLUMNS) + 1) },
};

interface HardRows {
  readonly weight: (normal: number, index: number) => number;
  readonly norm?: (column: number) => number;
}

export interface KernelBenchOptions {
  readonly threads: number;
  /** Of the weights that no cache holds. */
  readonly largeBytes: number;
}

interface TimesBesideCopy extends KernelTimes {
  /** How many copies of the same bytes it takes. */
  readonly copies: number;
}

export interface KernelFigure extends TimesBesideCopy {
  readonly dtype: FloatDtype;
  readonly selection: string;
  /** `chunk`: about 1 MiB a thread, what a job prunes at once. `memory`: more than caches hold. */
  readonly data: 'chunk' | 'memory';
  readonly threads: number;
}

export interface HardFigure extends TimesBesideCopy {
  readonly dtype: FloatDtype;
  readonly rows: string;
}

export interface KernelReport {
  readonly machine: { readonly cpu: string; readonly cores: number; readonly load: number; readonly node: string };
  readonly columns: number;
  readonly chunkBytes: number;
  readonly largeBytes: number;
  readonly figures: readonly KernelFigure[];
  /** At 50 %, a chunk, one thread. */
  readonly hardRows: readonly HardFigure[];
  /** BF16 at 50 % from memory, all threads; reading and writing files is not in it. */
  readonly model: {
    readonly weights: number;
    readonly threads: number;
    readonly seconds: number;
    readonly paperSeconds: number;
  };
}

export async function measureKernel({ threads, largeBytes }: KernelBenchOptions): Promise<KernelReport> {
  await using bench = await KernelBench.start(threads);
  const columnNorms = sampleNorms(COLUMNS);
  const figures: KernelFigure[] = [];
  const hardRows: HardFigure[] = [];
  for (const dtype of DTYPES) {
    const weights = sampleWeights(dtype, chunkWeights(dtype));
    for (const [selection, chosen] of Object.entries(SELECTIONS)) {
      for (const data of ['chunk', 'memory'] as const) {
        for (const used of new Set([1, threads])) {
          const times = await bench.measure({
            ...{ dtype, columns: COLUMNS, selection: chosen, threads: used, weights, columnNorms },
            ...(data === 'chunk' ? CHUNK_REPEATS : LARGE_REPEATS),
            sizeBytes: data === 'chunk' ? used * CHUNK_BYTES : largeBytes,
          });
          figures.push({ dtype, selection, data, threads: used, ...besideCopy(times) });
        }
      }
    }
    for (const rows of Object.keys(HARD_ROWS)) {
      hardRows.push({ dtype, rows, ...besideCopy(await measureHard(bench, dtype, HARD_ROWS[rows] as HardRows)) });
    }
  }
  return {
    machine: {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      load: loadavg()[0] as number,
      node: process.version,
    },
    ...{ columns: COLUMNS, chunkBytes: CHUNK_BYTES, largeBytes, figures, hardRows },
    model: modelFigure(figures, threads),
  };
}

function measureHard(bench: KernelBench, dtype: FloatDtype, { weight, norm }: HardRows): Promise<KernelTimes> {
  return bench.measure({
    ...{ dtype, columns: COLUMNS, threads: 1, sizeBytes: CHUNK_BYTES, ...HARD_REPEATS },
    selection: SELECTIONS['50 %'] as Selection,
    weights: sampleWeights(dtype, chunkWeights(dtype), weight),
    columnNorms: Float32Array.from({ length: COLUMNS }, (_, column) => norm?.(column) ?? 1),
  });
}

function chunkWeights(dtype: FloatDtype): number {
  return CHUNK_BYTES / weightSizeBytes(dtype);
}

function besideCopy(times: KernelTimes): TimesBesideCopy {
  return { ...times, copies: times.nsPerWeight / times.copyNsPerWeight };
}

function modelFigure(figures: readonly KernelFigure[], threads: number): KernelReport['model'] {
  const [figure] = figures.filter(
    ({ dtype, selection, data, threads: used }) =>
      dtype === 'BF16' && selection === '50 %' && data === 'memory' && used === threads,
  );
  const seconds = ((figure?.nsPerWeight ?? Number.NaN) * MODEL_WEIGHTS) / 1e9;
  return { weights: MODEL_WEIGHTS, threads, seconds, paperSeconds: PAPER_SECONDS };
}
