/**
 * How fast ONNX Runtime multiplies matrices here, as the engine has it do so: its provider, its threads, and the type that
 * layers are computed in there (float32; on CUDA 16 bits).
 */
import { Tensor } from 'onnxruntime-node';
import { DATA_TYPE_OF, GraphBuilder, int } from '../../shared/onnx/graph.ts';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { createSession, type Provider } from './session.ts';

interface Product {
  /** x [rows, width] times W [width, width], so many times one after the other. */
  readonly rows: number;
  readonly width: number;
  readonly chain: number;
}

/** 4.3 GFLOP: 20 to 90 ms on one core. Rows and width are those at which a product has its full speed. */
const CPU_PRODUCT: Product = { rows: 512, width: 1024, chain: 4 };
/** 4.4 TFLOP: some milliseconds of a large card in 16 bits, beside which starting a run is small. */
const CUDA_PRODUCT: Product = { rows: 4096, width: 4096, chain: 32 };
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
export async function measureFlops(
  settings: ComputeSettings,
  dtype: FloatDtype = settings.provider === 'cuda' ? 'BF16' : 'F32',
): Promise<number> {
  const product = settings.provider === 'cuda' ? CUDA_PRODUCT : CPU_PRODUCT;
  const { rows, width, chain } = product;
  const session = await createSession(chainModel(product, dtype), { ...settings, foldCasts: true });
  try {
    const feeds = { scale: new Tensor('float32', Float32Array.of(1), [1]) };
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

/**
 * Only a number goes in and only a sum comes out: what is measured is not the way to the device. Values are as spread as
 * real ones, since a card that multiplies ones needs less power and is faster; a product with W keeps their size.
 */
function chainModel({ rows, width, chain }: Product, dtype: FloatDtype): Uint8Array {
  const graph = new GraphBuilder('measure');
  const constant = (name: string, dims: readonly [number, number], bound: number): string => {
    const values = graph.float32(name, dims, spread(dims[0] * dims[1], bound));
    return dtype === 'F32' ? values : graph.cast(values, DATA_TYPE_OF[dtype]);
  };
  const input = graph.input('scale', DATA_TYPE_OF.F32, [1]);
  const scale = dtype === 'F32' ? input : graph.cast(input, DATA_TYPE_OF[dtype]);
  let value = graph.operator('Mul', [constant('x', [rows, width], Math.sqrt(3)), scale]);
  const weight = constant('weight', [width, width], Math.sqrt(3 / width));
  for (let index = 0; index < chain; index++) {
    value = graph.operator('Gemm', [value, weight], { attributes: { transB: int(1) } });
  }
  const float32 = dtype === 'F32' ? value : graph.cast(value, DATA_TYPE_OF.F32);
  graph.operator('ReduceSum', [float32], { attributes: { keepdims: int(0) }, output: 'y' });
  graph.output('y', DATA_TYPE_OF.F32, []);
  return graph.encode();
}

/** Evenly between -bound and bound, by a linear congruential generator (Numerical Recipes, 2nd edition, section 7.1). */
function spread(count: number, bound: number): Float32Array {
  const values = new Float32Array(count);
  let state = 1;
  for (let index = 0; index < count; index++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[index] = (state / 2 ** 31) * bound;
  }
  return values;
}
