/**
 * What each pruning method costs, in nanoseconds per weight: as the engine runs it, from file to file (page cache warm), on
 * a matrix of random weights, beside a copy by the same threads in the same run.
 *
 *     npx node bench/methods.ts [--rows 4096] [--columns 4096] [--threads 2] [--repeats 5] [--json]
 *
 * The least of all repeats: what else runs on the machine only adds. Weights are normal, norms log-normal.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import type { FloatDtype } from '../shared/safetensors/dtype.ts';
import { KernelPool } from '../worker/kernels/kernel-pool.ts';
import { sampleNorms, sampleWeights } from '../worker/kernels/sample-weights.ts';
import type { LinearJob, MethodOptions } from '../worker/methods/method.ts';
import { countOutliers } from '../worker/methods/outliers.ts';
import { methodByName } from '../worker/methods/registry.ts';

const HALF = { kind: 'unstructured', sparsity: 0.5 } as const;
const TWO_OF_FOUR = { kind: 'pattern', keep: 2, group: 4 } as const;
/** Groups other than 4 and 8 take a plain path of the kernel. */
const EIGHT_OF_SIXTEEN = { kind: 'pattern', keep: 8, group: 16 } as const;
const CASES: readonly (readonly [string, MethodOptions, LinearJob['choice']])[] = [
  ['wanda', {}, HALF],
  ['wanda', {}, TWO_OF_FOUR],
  ['wanda', {}, EIGHT_OF_SIXTEEN],
  ['wanda', { variant: 'cumulative' }, HALF],
  ['magnitude', { scope: 'matrix' }, HALF],
  ['magnitude', { scope: 'row' }, HALF],
  ['magnitude', {}, TWO_OF_FOUR],
  ['magnitude', {}, EIGHT_OF_SIXTEEN],
  ['ria', { scope: 'matrix' }, HALF],
  ['ria', { scope: 'row' }, HALF],
  ['ria', {}, TWO_OF_FOUR],
  ['ria', {}, EIGHT_OF_SIXTEEN],
  ['random', { seed: 0 }, HALF],
  ['random', { seed: 0 }, TWO_OF_FOUR],
  ['random', { seed: 0 }, EIGHT_OF_SIXTEEN],
];

const OUTLIER_THRESHOLD = 5;

interface Figure {
  readonly what: string;
  readonly nsPerWeight: Readonly<Record<FloatDtype, number>>;
}

async function leastMs(repeats: number, run: () => Promise<unknown>): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let repeat = 0; repeat < repeats; repeat++) {
    const begunMs = performance.now();
    await run();
    least = Math.min(least, performance.now() - begunMs);
  }
  return least;
}

function amountOf(choice: LinearJob['choice']): string {
  return choice.kind === 'pattern' ? `${choice.keep}:${choice.group}` : '50 %';
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rows: { type: 'string', default: '4096' },
      columns: { type: 'string', default: '4096' },
      threads: { type: 'string', default: String(availableParallelism()) },
      repeats: { type: 'string', default: '5' },
      json: { type: 'boolean', default: false },
    },
  });
  const { rows, columns, threads, repeats } = {
    rows: Number(values.rows),
    columns: Number(values.columns),
    threads: Number(values.threads),
    repeats: Number(values.repeats),
  };
  const folder = await mkdtemp(join(tmpdir(), 'secateur-bench-'));
  const pool = await KernelPool.create({ threads });
  const figures = new Map<string, Record<string, number>>();
  const note = (what: string, dtype: FloatDtype, ms: number) => {
    figures.set(what, { ...figures.get(what), [dtype]: (ms * 1e6) / (rows * columns) });
  };
  try {
    const inputNormSquared = Float64Array.from(sampleNorms(columns), (norm) => norm * norm);
    const statistic = () => ({ linear: 'bench', inputNormSquared, samples: 1 });
    for (const dtype of ['BF16', 'F16', 'F32'] as const) {
      const source = { file: join(folder, `${dtype}-source`), offset: 0 };
      const destination = { file: join(folder, `${dtype}-destination`), offset: 0 };
      await writeFile(source.file, sampleWeights(dtype, rows * columns));
      const matrix = { tensor: 'bench', dtype, rows, columns, source, destination };
      const keepAll = { ...matrix, saliency: { kind: 'magnitude' }, selection: { kind: 'keepAll' } } as const;
      note('copy', dtype, await leastMs(repeats, () => pool.pruneMatrix(keepAll)));
      for (const [method, options, choice] of CASES) {
        const job = { ...matrix, choice, options, statistic };
        const tools = { kernels: pool, notice: () => undefined };
        const what = [method, ...Object.values(options), amountOf(choice)].join(' ');
        note(what, dtype, await leastMs(repeats, () => methodByName(method).pruneLinear(job, tools)));
      }
      const linear = { ...matrix, statistic: statistic() };
      note(
        'owl, counting',
        dtype,
        await leastMs(repeats, () => countOutliers([linear], OUTLIER_THRESHOLD, pool, () => undefined)),
      );
      await rm(source.file);
      await rm(destination.file);
    }
  } finally {
    await pool.close();
    await rm(folder, { recursive: true });
  }
  const found = [...figures].map(([what, nsPerWeight]) => ({ what, nsPerWeight }) as Figure);
  const machine = { cpu: cpus()[0]?.model, threads, load: loadavg()[0], node: process.version };
  if (values.json) {
    console.log(JSON.stringify({ machine, rows, columns, found }, null, 2));
    return;
  }
  console.log(`[${rows}, ${columns}], ${threads} threads, load average ${machine.load?.toFixed(1)}, ${machine.cpu}`);
  const shown = (ns: number) => ns.toFixed(2);
  console.table(
    found.map(({ what, nsPerWeight }) => ({
      'ns per weight': what,
      BF16: shown(nsPerWeight.BF16),
      F16: shown(nsPerWeight.F16),
      F32: shown(nsPerWeight.F32),
    })),
  );
}

await main();
