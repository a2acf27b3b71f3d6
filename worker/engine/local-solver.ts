/** SparseGPT's solver on the engine's main thread: for layers that are done before other threads would have started. */
import { SparseGptKernel } from '../kernels/sparsegpt-kernel.ts';
import { type PartOutcome, type SweepTask, sweepPart } from '../methods/sparsegpt/column-sweep.ts';
import { invertCholesky, type TileSizes } from '../methods/sparsegpt/invert-cholesky.ts';
import type { MatrixProduct, SquareMatrix } from '../methods/sparsegpt/matrix-product.ts';
import type { Solver } from '../methods/sparsegpt/solver.ts';
import { ALONE } from '../methods/sparsegpt/team.ts';
import { countedProduct } from './counted-product.ts';
import { EngineMatrixProduct } from './matrix-product.ts';

export class LocalSolver implements Solver {
  private readonly engine = new EngineMatrixProduct(1);
  private readonly product: MatrixProduct;
  private readonly kernel: SparseGptKernel;

  private constructor(kernel: SparseGptKernel, worked: (operations: number) => void) {
    this.kernel = kernel;
    let operations = 0;
    this.product = countedProduct(this.engine, (more) => {
      operations += more;
      worked(operations);
    });
  }

  /** @param worked is told after every product how many operations have been done since the solver is there */
  static async create(worked: (operations: number) => void = () => undefined): Promise<LocalSolver> {
    return new LocalSolver(new SparseGptKernel(await SparseGptKernel.compile()), worked);
  }

  invert(matrix: SquareMatrix, sizes: TileSizes): Promise<number | null> {
    return invertCholesky(matrix, this.product, ALONE, sizes);
  }

  async sweep(task: SweepTask): Promise<PartOutcome[]> {
    const { product, kernel } = this;
    return [await sweepPart(task, { begin: 0, end: task.rows }, { product, kernel, team: ALONE })];
  }

  close(): Promise<void> {
    return this.engine.release();
  }
}
