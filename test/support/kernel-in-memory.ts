/** The WebAssembly kernel on one thread and on weights in memory: what tests and benches compare with the reference. */
import { createKernelMemory, Kernel, reserveMemory, writeTables } from '../../worker/kernels/kernel.ts';
import { layoutKernelMemory, weightSizeBytes } from '../../worker/kernels/kernel-layout.ts';
import type { StoredWeights } from '../../worker/kernels/reference.ts';
import type { MatrixDescription, Selection } from '../../worker/kernels/selection.ts';

export type InMemoryResult =
  | { readonly kind: 'done'; readonly zeros: number; readonly weights: StoredWeights }
  | { readonly kind: 'nonFinite'; readonly row: number; readonly column: number };

export class InMemoryKernel {
  private readonly memory: WebAssembly.Memory;
  private readonly kernel: Kernel;

  constructor(module: WebAssembly.Module) {
    this.memory = createKernelMemory();
    this.kernel = new Kernel(module, this.memory);
  }

  /** Prepares a matrix as one chunk; the view of the chunk's bytes is what `run` prunes. */
  begin(matrix: MatrixDescription, columnNorms: Float32Array, selection: Selection): Uint8Array<ArrayBufferLike> {
    const sizeBytes = matrix.rows * matrix.columns * weightSizeBytes(matrix.dtype);
    const layout = layoutKernelMemory(matrix, 1, sizeBytes);
    reserveMemory(this.memory, layout);
    writeTables(this.memory, layout, matrix, { kind: 'normed', columnNorms });
    const pass = { kind: 'prune', saliency: { kind: 'normed', seed: 0 }, selection } as const;
    this.kernel.begin(matrix, pass, layout, layout.areas[0]!);
    return this.kernel.chunk(sizeBytes);
  }

  run(rows: number) {
    return this.kernel.run(rows, 0);
  }

  /** Prunes a copy. */
  prune(
    matrix: MatrixDescription,
    weights: StoredWeights,
    columnNorms: Float32Array,
    selection: Selection,
  ): InMemoryResult {
    const chunk = this.begin(matrix, columnNorms, selection);
    chunk.set(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength));
    const result = this.run(matrix.rows);
    if (result.kind === 'nonFinite') return result;
    const bytes = Uint8Array.from(chunk).buffer;
    return { ...result, weights: weights instanceof Float32Array ? new Float32Array(bytes) : new Uint16Array(bytes) };
  }
}
