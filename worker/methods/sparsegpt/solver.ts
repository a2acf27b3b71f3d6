/** Whoever solves for the weights of linears: `invertCholesky` and `sweepPart`, on threads that are one team. */
import type { PartOutcome, SweepTask } from './column-sweep.ts';
import type { TileSizes } from './invert-cholesky.ts';
import type { SquareMatrix } from './matrix-product.ts';

export interface Solver {
  /**
   * `matrix` stands in shared memory.
   *
   * @throws EngineFailed
   */
  invert(matrix: SquareMatrix, sizes: TileSizes): Promise<number | null>;
  /**
   * What became of the linear's rows, in parts that follow one another.
   *
   * @throws EngineFailed, LimitExceeded
   */
  sweep(task: SweepTask): Promise<PartOutcome[]>;
  /** Gives everything back. Nothing is in hand then, nor asked afterwards. */
  close(): Promise<void>;
}
