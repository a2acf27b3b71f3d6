/** SparseGPT's solver on the engine's main thread: for layers that are done before other threads would have started. */
import { SparseGptKernel } from '../kernels/sparsegpt-kernel.ts';
import { type PartOutcome, type SweepTask, sweepPart } from '../methods/sparsegpt/column-sweep.ts';
import { invertCholesky, type TileSizes } from '../methods/sparsegpt/invert-cholesky.ts';
import type { SquareMatrix } from '../methods/sparsegpt/matrix-product.ts';
import type { Solver } from '../methods/sparsegpt/solver.ts';
import { ALONE } from '../methods/sparsegpt/team.ts';
import { EngineMatrixProduct } from './matrix-product.ts';

export class LocalSolver implements Solver {
  private readonly product = new EngineMatrixProduct(1);
  private readonly kernel: SparseGptKernel;

  private constructor(kernel: SparseGptKernel) {
    this.kernel = kernel;
  }

  static async create(): Promise<LocalSolver> {
    return new LocalSolver(new SparseGptKernel(await SparseGptKernel.compile()));
  }

  invert(matrix: SquareMatrix, sizes: TileSizes): Promise<number | null> {
    return invertCholesky(matrix, this.product, ALONE, sizes);
  }

  async sweep(task: SweepTask): Promise<PartOutcome[]> {
    const { product, kernel } = this;
    return [await sweepPart(task, { begin: 0, end: task.rows }, { product, kernel, team: ALONE })];
  }

  close(): Promise<void> {
    return this.product.release();
  }
}
