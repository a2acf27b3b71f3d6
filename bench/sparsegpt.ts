/**
 * How long SparseGPT takes for one linear [N, N] from a ready Hessian, 50 % and 2:4, beside products [2048, 2048] x
 * [2048, 2048] of the same runtime in the same run: before and after every repeat, since other work comes and goes.
 *
 *     npx node bench/sparsegpt.ts [--sizes 1024,2048,4096] [--threads 2] [--repeats 3] [--json]
 *
 * Operations: 2/3 I^3 for the factor, O I^2 for the weights. Best of the repeats, of the products too.
 */
import { availableParallelism, cpus, loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import type { LinearChoice } from '../shared/manifest/select-linears.ts';
import { randomWeights } from '../test/support/sparsegpt-cases.ts';
import { EngineMatrixProduct } from '../worker/engine/matrix-product.ts';
import { SparseGptKernel } from '../worker/kernels/sparsegpt-kernel.ts';
import { DAMPING_FRACTION, prepareHessianFactor } from '../worker/methods/sparsegpt/hessian-factor.ts';
import type { DenseMatrix, MatrixProduct } from '../worker/methods/sparsegpt/matrix-product.ts';
import { BLOCK_SIZE, pruneWithFactor } from '../worker/methods/sparsegpt/prune-with-factor.ts';

const PRODUCT_SIZE = 2048;
const CHOICES: Readonly<Record<string, LinearChoice>> = {
  '50 %': { kind: 'unstructured', sparsity: 0.5 },
  '2:4': { kind: 'pattern', keep: 2, group: 4 },
};

const { values: options } = parseArgs({
  options: {
    sizes: { type: 'string', default: '1024,2048,4096' },
    threads: { type: 'string', default: String(availableParallelism()) },
    repeats: { type: 'string', default: '3' },
    json: { type: 'boolean', default: false },
  },
});

async function secondsOf(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return (performance.now() - begun) / 1000;
}

/** X X^T / tokens of normal X [size, 2 size] and a little of the identity, by the runtime: as calibration makes it. */
async function makeHessian(size: number, product: MatrixProduct): Promise<Float32Array> {
  const hessian = new Float32Array(size * size);
  const x: DenseMatrix = { values: randomWeights(2 * size * size, size), rows: size, columns: 2 * size };
  const out = { values: hessian, rows: size, columns: size };
  await product.accumulate({ left: x, right: x, transposed: 'right', effect: 'add', out });
  return hessian;
}

function squareOf(values: Float32Array): DenseMatrix {
  return { values, rows: PRODUCT_SIZE, columns: PRODUCT_SIZE };
}

const threads = Number(options.threads);
const product = new EngineMatrixProduct(threads);
const kernel = await SparseGptKernel.create();
const [left, right, out] = [1, 2, 3].map((seed) => squareOf(randomWeights(PRODUCT_SIZE ** 2, seed))) as [
  DenseMatrix,
  DenseMatrix,
  DenseMatrix,
];
const multiply = () => secondsOf(() => product.accumulate({ left, right, transposed: 'none', effect: 'add', out }));
await multiply();

const figures: Record<string, string | number>[] = [];
for (const size of options.sizes.split(',').map(Number)) {
  const ready = await makeHessian(size, product);
  const dense = randomWeights(size * size, size + 1);
  for (const [what, choice] of Object.entries(CHOICES)) {
    const best = { factor: Infinity, weights: Infinity, product: Infinity };
    for (let repeat = 0; repeat < Number(options.repeats); repeat++) {
      best.product = Math.min(best.product, await multiply());
      const [hessian, weights] = [ready.slice(), dense.slice()];
      const names = { layer: 0, linears: ['bench'] };
      let factor: Awaited<ReturnType<typeof prepareHessianFactor>> | undefined;
      const factorSeconds = await secondsOf(async () => {
        factor = await prepareHessianFactor(
          { hessian, columns: size, dampingFraction: DAMPING_FRACTION, ...names },
          product,
        );
      });
      const input = { layer: 0, linear: 'bench', weights, rows: size, choice, blockSize: BLOCK_SIZE };
      const weightsSeconds = await secondsOf(async () => {
        if (factor !== undefined) await pruneWithFactor(input, factor, { product, kernel });
      });
      best.product = Math.min(best.product, await multiply());
      best.factor = Math.min(best.factor, factorSeconds);
      best.weights = Math.min(best.weights, weightsSeconds);
    }
    const seconds = best.factor + best.weights;
    const rate = ((2 / 3 + 1) * size ** 3) / seconds / 1e9;
    const gemmRate = (2 * PRODUCT_SIZE ** 3) / best.product / 1e9;
    figures.push({
      ...{ linear: `[${size}, ${size}] ${what}`, threads, seconds: round(seconds, 3) },
      ...{ factorSeconds: round(best.factor, 3), weightsSeconds: round(best.weights, 3) },
      ...{ gigaflops: round(rate, 0), gemmGigaflops: round(gemmRate, 0), share: round(rate / gemmRate, 2) },
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
