/** What a method that solves equations works with while one layer is pruned: factors of Hessians, one at a time. */
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { DampingRaise } from '../../shared/rpc/generated/secateur/v1/DampingRaise.ts';
import type { PruneTask__Output } from '../../shared/rpc/generated/secateur/v1/PruneTask.ts';
import { SparseGptKernel } from '../kernels/sparsegpt-kernel.ts';
import type { HessianTools, LinearJob } from '../methods/method.ts';
import { type HessianFactor, prepareHessianFactor } from '../methods/sparsegpt/hessian-factor.ts';
import type { SolverTools } from '../methods/sparsegpt/prune-with-factor.ts';
import { readHessian } from './hessian-files.ts';
import { readLinear, writeLinear } from './linear-weights.ts';
import { EngineMatrixProduct } from './matrix-product.ts';
import type { TaskContext } from './task-context.ts';

export class LayerSolver implements HessianTools {
  readonly layer: number;
  readonly solver: SolverTools;
  /** In the order in which they were made. */
  readonly dampingRaises: DampingRaise[] = [];
  private readonly task: PruneTask__Output;
  private readonly context: TaskContext;
  private readonly product: EngineMatrixProduct;
  private current: { readonly statistic: string; readonly factor: HessianFactor } | null = null;

  private constructor(task: PruneTask__Output, context: TaskContext, kernel: SparseGptKernel) {
    this.layer = task.layer;
    this.task = task;
    this.context = context;
    this.product = new EngineMatrixProduct(context.threads);
    this.solver = { product: this.product, kernel };
  }

  static async create(task: PruneTask__Output, context: TaskContext): Promise<LayerSolver> {
    return new LayerSolver(task, context, await SparseGptKernel.create());
  }

  release(): Promise<void> {
    this.current = null;
    return this.product.release();
  }

  /** @throws InputsMissing (a part of the Hessian), CalibrationInvalid (not positive definite), NonFiniteValue, EngineFailed */
  async factorOf(job: LinearJob, dampingFraction: number): Promise<HessianFactor> {
    const statistic = this.task.linears.find(({ tensor }) => tensor === job.tensor)?.statistic;
    invariant(statistic !== undefined, `${job.tensor} is a linear of the task`);
    if (this.current?.statistic === statistic) return this.current.factor;
    // The one before goes first: there is room for one only.
    this.current = null;
    const { layer, samples, hessians: files } = this.task;
    const { inputNormSquared: sums } = job.statistic();
    const hessian = await readHessian({ layer, statistic, files, sums, samples }, this.context);
    const linears = this.task.linears
      .filter((each) => each.statistic === statistic && each.selection !== 'keepAll')
      .map(({ tensor }) => tensor);
    const input = { hessian, columns: job.columns, dampingFraction, layer, linears };
    const factor = await prepareHessianFactor(input, this.product, ({ from, to, column }) => {
      this.dampingRaises.push({ linears, from, to });
      this.context.notice(
        `layer ${layer}, ${linears.join(', ')}: the Hessian is not positive definite (input column ${column}) with ${from} of its diagonal's mean added; tries ${to}`,
      );
    });
    this.current = { statistic, factor };
    return factor;
  }

  readWeights(job: LinearJob): Promise<Float32Array> {
    return readLinear(job);
  }

  writeWeights(job: LinearJob, weights: Float32Array): Promise<{ zeros: number }> {
    return writeLinear(job, weights);
  }
}
