/** How fast ONNX Runtime multiplies float32 matrices here, as the engine has it do so: its provider, its threads. */
import { Tensor } from 'onnxruntime-node';
import { DATA_TYPE_OF, GraphBuilder, int } from '../../shared/onnx/graph.ts';
import { createSession, type Provider } from './session.ts';

interface Product {
  /** x [rows, width] times W [width, width], so many times one after the other. */
  readonly rows: number;
  readonly width: number;
  readonly chain: number;
}

/** 4.3 GFLOP: 20 to 90 ms on one core. Rows and width are those at which a product has its full speed. */
const CPU_PRODUCT: Product = { rows: 512, width: 1024, chain: 4 };
/** 1.1 TFLOP: what goes to the device and back is small beside it. */
const CUDA_PRODUCT: Product = { rows: 4096, width: 4096, chain: 8 };
/** Behind one run that fills caches and starts threads, at most so many, and no further one after this time. */
const RUNS_MAX = 3;
const RUNS_MS_MAX = 200;

export interface ComputeSettings {
  readonly provider: Provider;
  readonly deviceId: number;
  readonly threads: number;
}

/**
 * @returns multiplications and additions a second, of the best run: a machine that is busy for a moment is not slower
 * @throws EngineFailed
 */
export async function measureFlops(settings: ComputeSettings): Promise<number> {
  const product = settings.provider === 'cuda' ? CUDA_PRODUCT : CPU_PRODUCT;
  const { rows, width, chain } = product;
  const session = await createSession(chainModel(product), { ...settings, foldCasts: true });
  try {
    const feeds = { x: new Tensor('float32', new Float32Array(rows * width).fill(1), [rows, width]) };
    await session.run(feeds);
    const began = performance.now();
    let bestMs = Number.POSITIVE_INFINITY;
    for (let run = 0; run < RUNS_MAX && performance.now() - began < RUNS_MS_MAX; run++) {
      const started = performance.now();
      await session.run(feeds);
      bestMs = Math.min(bestMs, performance.now() - started);
    }
    return (2 * rows * width * width * chain) / (bestMs / 1000);
  } finally {
    await session.release();
  }
}

/** Every weight is 1 / width: ones stay ones, whatever the number of products. */
function chainModel({ rows, width, chain }: Product): Uint8Array {
  const graph = new GraphBuilder('measure');
  let value = graph.input('x', DATA_TYPE_OF.F32, [rows, width]);
  const weight = graph.float32('weight', [width, width], new Float32Array(width * width).fill(1 / width));
  for (let index = 1; index <= chain; index++) {
    const output = index === chain ? { output: 'y' } : {};
    value = graph.operator('Gemm', [value, weight], { attributes: { transB: int(1) }, ...output });
  }
  graph.output(value, DATA_TYPE_OF.F32, [rows, width]);
  return graph.encode();
}
