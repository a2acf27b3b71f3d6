/**
 * How time and memory grow with layers, samples, hidden size and workers: whole jobs of real processes on small synthetic
 * models, the exponents of straight lines through the logarithms, each beside what is expected. Ends with 1 and names
 * what does not grow as expected.
 *
 *     npx node bench/growth.ts [--json]
 *
 * Time is the processes' own processor time over the job, so that other work on the machine counts little; of the workers'
 * what the smallest job takes, engines' start mostly, is taken off. Memory is the most that was resident. What is left of
 * constant parts makes exponents less than in the limit: lower bounds are generous, upper ones leave room for noise only.
 */
import { mkdir } from 'node:fs/promises';
import { cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Connection } from '../cli/connection.ts';
import { type CloudEvent, fromCloudEvent } from '../shared/events/cloud-event.ts';
import { parseManifest } from '../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../shared/manifest/resolve-locations.ts';
import { Bench, type SecateurProcess } from '../test/support/secateur-process.ts';
import { deviation, type Expectation, fitExponent } from './growth-fit.ts';
import { cpuSecondsOf, familyCpuSecondsOf, familyPeakResidentBytesOf, peakResidentBytesOf } from './process-usage.ts';
import { type Shape, writeModel } from './synthetic-model.ts';

const MB = 1e6;
const SAMPLE_INTERVAL_MS = 20;

interface JobSize extends Shape {
  readonly workers: number;
}

/** Agents and engines together are workers. */
interface JobCost {
  readonly workersSeconds: number;
  /** Of the largest one. */
  readonly workerBytes: number;
  readonly coordinatorSeconds: number;
  readonly coordinatorBytes: number;
}

interface Series {
  readonly name: string;
  readonly sizes: readonly number[];
  readonly sizeOf: (size: number) => JobSize;
  /** Bounds of the exponents: least, most. */
  readonly expected: Readonly<Record<keyof JobCost, readonly [number, number]>>;
}

const SMALL: JobSize = { hidden: 256, intermediate: 704, heads: 4, layers: 4, samples: 8, sequence: 128, workers: 1 };
/** A job with next to nothing to compute. */
const SMALLEST: JobSize = { hidden: 64, intermediate: 64, heads: 1, layers: 1, samples: 1, sequence: 8, workers: 1 };
/** What Linux counts processor time in. */
const SECONDS_MIN = 0.01;
const CONSTANT = [-0.2, 0.25] as const;
const LINEAR = [0.5, 1.3] as const;
/** Linear, beside a constant part that may be most of it. */
const LINEAR_AT_MOST = [-0.2, 1.3] as const;

const SERIES: readonly Series[] = [
  {
    name: 'layers',
    sizes: [8, 16, 32, 64],
    sizeOf: (layers) => ({ ...SMALL, layers }),
    expected: {
      workersSeconds: LINEAR,
      workerBytes: CONSTANT,
      coordinatorSeconds: LINEAR_AT_MOST,
      coordinatorBytes: CONSTANT,
    },
  },
  {
    name: 'samples',
    sizes: [32, 64, 128, 256],
    sizeOf: (samples) => ({ ...SMALL, samples }),
    expected: {
      workersSeconds: LINEAR,
      workerBytes: LINEAR_AT_MOST,
      coordinatorSeconds: LINEAR_AT_MOST,
      coordinatorBytes: CONSTANT,
    },
  },
  {
    name: 'hidden size',
    sizes: [768, 1536, 3072],
    sizeOf: (hidden) => ({
      ...SMALL,
      ...{ hidden, intermediate: 2.75 * hidden, heads: hidden / 64, layers: 2, samples: 2, sequence: 32 },
    }),
    expected: {
      // Weights' work: loading, packing, products with few tokens, choosing.
      workersSeconds: [1, 2.4],
      workerBytes: [0.2, 2.2],
      // It digests the files: as many bytes as weights.
      coordinatorSeconds: [-0.2, 2.4],
      coordinatorBytes: CONSTANT,
    },
  },
  {
    name: 'workers',
    sizes: [1, 2, 4],
    sizeOf: (workers) => ({ ...SMALL, layers: 8, samples: 32, workers }),
    expected: {
      // The samples' work is shared out; every worker loads the layer.
      workersSeconds: [-0.4, 1],
      workerBytes: CONSTANT,
      coordinatorSeconds: LINEAR_AT_MOST,
      coordinatorBytes: CONSTANT,
    },
  },
];

const LABEL: Readonly<Record<keyof JobCost, string>> = {
  workersSeconds: 'time of the workers',
  workerBytes: 'memory of a worker',
  coordinatorSeconds: 'time of the coordinator',
  coordinatorBytes: 'memory of the coordinator',
};
const COSTS = Object.keys(LABEL) as (keyof JobCost)[];

async function measureJob(size: JobSize): Promise<JobCost> {
  await using bench = new Bench();
  const model = bench.path('model');
  await mkdir(model);
  await writeModel(model, size);
  const coordinator = bench.start(['coordinator', '--state', bench.path('state'), '--listen', '127.0.0.1:0']);
  const address = (await coordinator.printed(/listens on (\S+:\d+)/))[1] as string;
  const workers: SecateurProcess[] = [];
  for (let index = 1; index <= size.workers; index++) {
    const cache = bench.path(`cache-${index}`);
    const names = ['--coordinator', address, '--name', `w${index}`, '--threads', '1', '--cache', cache];
    workers.push(bench.start(['worker', ...names]));
  }
  await Promise.all(workers.map((worker) => worker.printed(/attached to/)));
  const coordinatorId = coordinator.child.pid as number;
  const agents = workers.map(({ child }) => child.pid as number);
  const before = { workers: sum(agents.map(familyCpuSecondsOf)), coordinator: cpuSecondsOf(coordinatorId) };
  // An engine ends with its job: what it held is looked at while it lives.
  let workerBytes = 0;
  const timer = setInterval(() => {
    workerBytes = Math.max(workerBytes, ...agents.map(familyPeakResidentBytesOf));
  }, SAMPLE_INTERVAL_MS);
  await runJob(address, model, bench.path('out'));
  clearInterval(timer);
  return {
    workersSeconds: sum(agents.map(familyCpuSecondsOf)) - before.workers,
    workerBytes,
    coordinatorSeconds: cpuSecondsOf(coordinatorId) - before.coordinator,
    coordinatorBytes: peakResidentBytesOf(coordinatorId),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((all, value) => all + value, 0);
}

async function runJob(address: string, model: string, output: string): Promise<void> {
  const manifest = {
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name: 'growth' },
    spec: {
      model: { source: model },
      output: { destination: output },
      calibration: { tokens: `${model}/ids.safetensors`, microbatch: 4 },
      pruning: { method: 'wanda', sparsity: 0.5 },
      placement: { stages: 1 },
    },
  };
  using connection = new Connection(address);
  const { id: job, namespace } = await connection.submit(
    resolveLocations(parseManifest(JSON.stringify(manifest), 'manifest'), model),
  );
  let last = '';
  for await (const { eventJson } of connection.watch({ job, namespace, afterSequence: 0 })) {
    if (!eventJson) continue;
    const { entity, verb } = fromCloudEvent(JSON.parse(eventJson) as CloudEvent);
    last = `${entity} ${verb}`;
  }
  if (last !== 'job succeeded') throw new Error(`the job ended with ${last}`);
}

interface Fit extends Expectation {
  readonly exponent: number;
  readonly values: readonly number[];
}

async function measureSeries({ name, sizes, sizeOf, expected }: Series, startSeconds: number): Promise<Fit[]> {
  const costs: JobCost[] = [];
  for (const size of sizes) {
    const job = sizeOf(size);
    const cost = await measureJob(job);
    const workersSeconds = Math.max(SECONDS_MIN, cost.workersSeconds - job.workers * startSeconds);
    costs.push({ ...cost, workersSeconds });
  }
  return COSTS.map((cost) => {
    const values = costs.map((each) => each[cost]);
    const [least, most] = expected[cost];
    return { what: `${LABEL[cost]} against ${name}`, least, most, exponent: fitExponent(sizes, values), values };
  });
}

function renderSeries({ name, sizes }: Series, fits: readonly Fit[]): string {
  const lines = fits.map(({ what, least, most, exponent, values }) => {
    const shown = values.map((value) => (value > MB ? `${Math.round(value / MB)} MB` : `${value.toFixed(2)} s`));
    return `  ${what}: exponent ${exponent.toFixed(2)}, expected ${least} to ${most} (${shown.join(', ')})`;
  });
  return [`${name}: ${sizes.join(', ')}`, ...lines].join('\n');
}

const { values: options } = parseArgs({ options: { json: { type: 'boolean', default: false } } });
const machine = { cpu: cpus()[0]?.model.trim() ?? 'unknown', load: loadavg()[0] as number, node: process.version };
const begunMs = performance.now();
const fits: Fit[] = [];
const { workersSeconds: startSeconds } = await measureJob(SMALLEST);
for (const series of SERIES) {
  const found = await measureSeries(series, startSeconds);
  fits.push(...found);
  if (!options.json) console.log(renderSeries(series, found));
}
const deviations = fits.map((fit) => deviation(fit, fit.exponent)).filter((text) => text !== null);
if (options.json) {
  console.log(JSON.stringify({ benchmark: 'growth', machine, series: SERIES, fits, deviations }, null, 2));
} else {
  console.log(
    `${((performance.now() - begunMs) / 1000).toFixed(0)} s, load ${machine.load.toFixed(1)}, ${machine.cpu}`,
  );
}
for (const text of deviations) console.error(`not as expected: ${text}`);
if (deviations.length > 0) process.exitCode = 1;
