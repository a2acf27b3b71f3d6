/**
 * How long SparseGPT takes for one linear [N, N] from a ready Hessian, 50 % and 2:4, beside products [2048, 2048] x
 * [2048, 2048] of the same runtime in the same run: before and after every repeat, since other work comes and goes.
 *
 *     npx node bench/sparsegpt.ts [--sizes 1024,2048,4096] [--threads 2] [--repeats 3] [--json]
 *
 * Operations: 2/3 I^3 for the factor, O I^2 for the weights. Least of the repeats, of the products too, for wall time
 * and for the CPU time of the process, which other work of the machine disturbs less. A product is short, so that a
 * busy machine spares it more often than the method: there the share by CPU time is the fairer one.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { LinearChoice } from '../shared/manifest/select-linears.ts';
import { randomWeights } from '../test/support/sparsegpt-cases.ts';
import { EngineMatrixProduct } from '../worker/engine/matrix-product.ts';
import { SparseGptKernel } from '../worker/kernels/sparsegpt-kernel.ts';
import { DAMPING_FRACTION, prepareHessianFactor } from '../worker/methods/sparsegpt/hessian-factor.ts';
import type { DenseMatrix } from '../worker/methods/sparsegpt/matrix-product.ts';
import { BLOCK_SIZE, pruneWithFactor } from '../worker/methods/sparsegpt/prune-with-factor.ts';

const PRODUCT_SIZE = 2048;
const CHOICES: Readonly<Record<string, LinearChoice>> = {
  '50 %': { kind: 'unstructured', sparsity: 0.5 },
  '2:4': { kind: 'pattern', keep: 2, group: 4 },
};

/** Seconds: the least so far of each. */
class Stopwatch {
  wall = Infinity;
  cpu = Infinity;

  async time<T>(work: () => Promise<T>): Promise<T> {
    const [wallBegun, cpuBegun] = [performance.now(), process.cpuUsage()];
    const result = await work();
    const { user, system } = process.cpuUsage(cpuBegun);
    this.wall = Math.min(this.wall, (performance.now() - wallBegun) / 1e3);
    this.cpu = Math.min(this.cpu, (user + system) / 1e6);
    return result;
  }
}

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1024,2048,4096' },
    threads: { type: 'string', default: String(availableParallelism()) },
    repeats: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});
const threads = Number(options.threads);
const product = new EngineMatrixProduct(threads);
const tools = { product, kernel: await SparseGptKernel.create() };
const square = (values: Float32Array): DenseMatrix => ({ values, rows: PRODUCT_SIZE, columns: PRODUCT_SIZE });
const operand = square(randomWeights(PRODUCT_SIZE ** 2, 1));
const sums = square(new Float32Array(PRODUCT_SIZE ** 2));
const multiply = () =>
  product.accumulate({ left: operand, right: operand, transposed: 'none', effect: 'add', out: sums });
await multiply();

/** X X^T of normal X [size, 2 size]: as calibration makes it. */
async function makeHessian(size: number): Promise<Float32Array> {
  const x: DenseMatrix = { values: randomWeights(2 * size * size, size), rows: size, columns: 2 * size };
  const out = { values: new Float32Array(size * size), rows: size, columns: size };
  await product.accumulate({ left: x, right: x, transposed: 'right', effect: 'add', out });
  return out.values;
}

const figures: Record<string, string | number>[] = [];
for (const size of options.sizes.split(',').map(Number)) {
  const ready = await makeHessian(size);
  const dense = randomWeights(size * size, size + 1);
  for (const [what, choice] of Object.entries(CHOICES)) {
    const [gemm, factoring, sweeping] = [new Stopwatch(), new Stopwatch(), new Stopwatch()];
    for (let repeat = 0; repeat < Number(options.repeats); repeat++) {
      await gemm.time(multiply);
      const hessian = { hessian: ready.slice(), columns: size, dampingFraction: DAMPING_FRACTION };
      const factor = await factoring.time(() =>
        prepareHessianFactor({ ...hessian, layer: 0, linears: ['bench'] }, product),
      );
      const linear = { layer: 0, linear: 'bench', weights: dense.slice(), rows: size, choice, blockSize: BLOCK_SIZE };
      await sweeping.time(() => pruneWithFactor(linear, factor, tools));
      await gemm.time(multiply);
    }
    const operations = ((2 / 3 + 1) * size ** 3) / 1e9;
    const gemmOperations = (2 * PRODUCT_SIZE ** 3) / 1e9;
    const wall = factoring.wall + sweeping.wall;
    const cpu = factoring.cpu + sweeping.cpu;
    figures.push({
      ...{ linear: `[${size}, ${size}] ${what}`, threads, seconds: round(wall, 3), factor: round(factoring.wall, 3) },
      ...{ gigaflops: round(operations / wall, 0), gemm: round(gemmOperations / gemm.wall, 0) },
      ...{ share: round((operations * gemm.wall) / (gemmOperations * wall), 2), cpuSeconds: round(cpu, 3) },
      ...{ cpuShare: round((operations * gemm.cpu) / (gemmOperations * cpu), 2) },
    });
  }
}
await product.release();

function round(value: number, digits: number): number {
  return Number(value.toFixed(digits));
}

if (options.json) console.log(JSON.stringify({ figures }, null, 2));
else {
  console.log(`${cpus()[0]?.model}, ${availableParallelism()} cores, load ${loadavg()[0]?.toFixed(1)}`);
  console.table(figures);
}
