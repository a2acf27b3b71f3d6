/**
 * When weights become float32: once, when a session is created (cast and packed for the matrix kernel: 4 bytes a weight of
 * memory, seconds for a large layer), or in every run (nothing to create, the weights stay mapped; a run takes longer).
 * Few tokens are over before a session with packed weights is there (docs/performance.md, "Few tokens"). Pure.
 *
 * The two round otherwise, so which it is must depend on the job alone, never on a worker. And results must not depend on
 * threads: ONNX Runtime cuts the sum of a dot product of packed weights always at the same terms, but of others, where a
 * thread is given 64 columns or fewer, at places that depend on how many (onnxruntime/core/mlas/lib/sgemm.cpp,
 * MlasSgemmOperation); and it takes another kernel for a single row. Hence the bounds.
 */
import { layerTensors, type ModelDescription } from '../models/family.ts';

/** Up to here a pass with casts in every run is done before one with packed weights; measured by bench/forward.ts. */
const FEW_TOKENS_MAX = 2048;
/** Twice as many as where the blocking begins to depend on them. */
const COLUMNS_A_THREAD_MIN = 128;
/** A model that is too narrow for so many threads is small: its sessions are created fast. */
const THREADS_MIN = 8;

/**
 * @param tokens that go through each layer, all workers together
 * @param sequenceLength tokens a sample: the fewest rows of a run
 */
export function castsOnce(model: ModelDescription, tokens: number, sequenceLength: number): boolean {
  return tokens > FEW_TOKENS_MAX || sequenceLength < 2 || threadsMax(model) < THREADS_MIN;
}

/** Threads that casts in every run may take, so that the result is that of one thread. */
export function threadsMax(model: ModelDescription): number {
  const widths = layerTensors(model, 0).linears.map(({ outFeatures }) => outFeatures);
  return Math.floor(Math.min(...widths) / COLUMNS_A_THREAD_MIN);
}
