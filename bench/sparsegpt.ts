/**
 * How long SparseGPT takes for one linear [rows, columns] from a ready Hessian, 50 % and 2:4, beside products [2048, 2048] x
 * [2048, 2048] of the same runtime in the same run: before and after every repeat, since other work comes and goes.
 *
 *     npx node bench/sparsegpt.ts [--sizes 1024,2048,4096] [--rows N] [--threads 2] [--repeats 3] [--json]
 *     npx node bench/sparsegpt.ts --sizes 22016 --rows 1024 --repeats 1
 *
 * `--rows`: as many as there are columns, unless said. Operations: 2/3 I^3 for the factor, O I^2 for the weights. Least of
 * the repeats, of the products too, for wall time and for the CPU time of the process, which other work of the machine
 * disturbs less. A product is short, so that a busy machine spares it more often than the method: there the share by CPU
 * time is the fairer one. Peak: the most memory that the process had while it worked, Node and the runtime included.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { LinearChoice } from '../shared/manifest/select-linears.ts';
import { randomWeights, sharedCopy } from '../test/support/sparsegpt-cases.ts';
import { EngineMatrixProduct } from '../worker/engine/matrix-product.ts';
import { SolverPool } from '../worker/engine/solver-pool.ts';
import { DAMPING_FRACTION, prepareHessianFactor } from '../worker/methods/sparsegpt/hessian-factor.ts';
import { type DenseMatrix, rangesOf, rowsOf } from '../worker/methods/sparsegpt/matrix-product.ts';
import { BLOCK_SIZE, pruneWithFactor } from '../worker/methods/sparsegpt/prune-with-factor.ts';
import { sharedFloats } from '../worker/methods/sparsegpt/team.ts';

const PRODUCT_SIZE = 2048;
/** A Hessian is made of twice its columns, or of so many tokens where that is less: damping makes it definite. */
const TOKENS_MAX = 8192;
const MEMORY_INTERVAL_MS = 20;
const CHOICES: Readonly<Record<string, LinearChoice>> = {
  '50 %': { kind: 'unstructured', sparsity: 0.5 },
  '2:4': { kind: 'pattern', keep: 2, group: 4 },
};

/** Seconds: the least so far of each. Bytes: the most. */
class Stopwatch {
  wall = Infinity;
  cpu = Infinity;
  peakBytes = 0;

  async time<T>(work: () => Promise<T>): Promise<T> {
    const watch = setInterval(() => {
      this.peakBytes = Math.max(this.peakBytes, process.memoryUsage.rss());
    }, MEMORY_INTERVAL_MS);
    const [wallBegun, cpuBegun] = [performance.now(), process.cpuUsage()];
    const result = await work();
    const { user, system } = process.cpuUsage(cpuBegun);
    this.wall = Math.min(this.wall, (performance.now() - wallBegun) / 1e3);
    this.cpu = Math.min(this.cpu, (user + system) / 1e6);
    clearInterval(watch);
    return result;
  }
}

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1024,2048,4096' },
    rows: { type: 'string' },
    threads: { type: 'string', default: String(availableParallelism()) },
    repeats: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const threads = Number(options.threads);
const repeats = Number(options.repeats);
const product = new EngineMatrixProduct(threads);
const solver = await SolverPool.create({ threads });
const square = (values: Float32Array): DenseMatrix => ({ values, rows: PRODUCT_SIZE, columns: PRODUCT_SIZE });
const operand = square(randomWeights(PRODUCT_SIZE ** 2, 1));
const sums = square(new Float32Array(PRODUCT_SIZE ** 2));
const multiply = () =>
  product.accumulate({ left: operand, right: operand, transposed: 'none', effect: 'add', out: sums });
await multiply();

/** X X^T of normal X [size, tokens]: as calibration makes it. */
async function makeHessian(size: number): Promise<Float32Array> {
  const tokens = Math.min(2 * size, TOKENS_MAX);
  const x: DenseMatrix = { values: randomWeights(tokens * size, size), rows: size, columns: tokens };
  const hessian = sharedFloats(size * size);
  for (const rows of rangesOf({ begin: 0, end: size }, PRODUCT_SIZE)) {
    const left = rowsOf(x, rows);
    const out = { values: new Float32Array(left.rows * size), rows: left.rows, columns: size };
    await product.accumulate({ left, right: x, transposed: 'right', effect: 'add', out });
    hessian.set(out.values, rows.begin * size);
  }
  return hessian;
}

/** What making matrices left behind is no part of the method's memory. */
function collectGarbage(): void {
  setFlagsFromString('--expose-gc');
  runInNewContext('gc')();
}

async function measure(size: number, rows: number): Promise<Record<string, string | number>[]> {
  const ready = await makeHessian(size);
  const dense = randomWeights(size * rows, size + 1);
  const [gemm, factoring] = [new Stopwatch(), new Stopwatch()];
  const sweeps = Object.entries(CHOICES).map(([what, choice]) => ({ what, choice, watch: new Stopwatch() }));
  for (let repeat = 0; repeat < repeats; repeat++) {
    await gemm.time(multiply);
    // The last one may have it.
    const hessian = repeat === repeats - 1 ? ready : sharedCopy(ready);
    const input = { hessian, columns: size, dampingFraction: DAMPING_FRACTION, layer: 0, linears: ['bench'] };
    collectGarbage();
    const factor = await factoring.time(() => prepareHessianFactor(input, solver));
    await gemm.time(multiply);
    for (const { choice, watch } of sweeps) {
      const linear = { layer: 0, linear: 'bench', weights: sharedCopy(dense), rows, choice, blockSize: BLOCK_SIZE };
      await watch.time(() => pruneWithFactor(linear, factor, solver));
      await gemm.time(multiply);
    }
  }
  return sweeps.map(({ what, watch }) => {
    const operations = ((2 / 3) * size ** 3 + rows * size ** 2) / 1e9;
    const gemmOperations = (2 * PRODUCT_SIZE ** 3) / 1e9;
    const [wall, cpu] = [factoring.wall + watch.wall, factoring.cpu + watch.cpu];
    return {
      ...{ linear: `[${rows}, ${size}] ${what}`, threads, seconds: round(wall, 3), factor: round(factoring.wall, 3) },
      ...{ gigaflops: round(operations / wall, 0), gemm: round(gemmOperations / gemm.wall, 0) },
      ...{ share: round((operations * gemm.wall) / (gemmOperations * wall), 2), cpuSeconds: round(cpu, 3) },
      cpuShare: round((operations * gemm.cpu) / (gemmOperations * cpu), 2),
      peakMB: round(Math.max(factoring.peakBytes, watch.peakBytes) / 1e6, 0),
    };
  });
}

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

const figures: Record<string, string | number>[] = [];
for (const size of options.sizes.split(',').map(Number)) {
  figures.push(...(await measure(size, Number(options.rows ?? size))));
}
await Promise.all([product.release(), solver.close()]);
if (options.json) console.log(JSON.stringify({ figures }, null, 2));
else {
  console.log(`${cpus()[0]?.model}, ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}`);
  console.table(figures);
}
