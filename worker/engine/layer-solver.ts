/** What a method that solves equations works with while one layer is pruned: factors of Hessians, one at a time. */
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { DampingRaise } from '../../shared/rpc/generated/secateur/v1/DampingRaise.ts';
import type { PruneTask__Output } from '../../shared/rpc/generated/secateur/v1/PruneTask.ts';
import type { HessianTools, LinearJob } from '../methods/method.ts';
import { type HessianFactor, prepareHessianFactor } from '../methods/sparsegpt/hessian-factor.ts';
import type { Solver } from '../methods/sparsegpt/solver.ts';
import { ReusedFloats } from '../methods/sparsegpt/team.ts';
import { readHessian } from './hessian-files.ts';
import { readLinear, writeLinear } from './linear-weights.ts';
import { LocalSolver } from './local-solver.ts';
import { SolverPool } from './solver-pool.ts';
import type { TaskContext } from './task-context.ts';

/** A thread takes about a tenth of a second to start, in which one does so many. */
const THREADS_WORTH_OPERATIONS = 5e9;

export class LayerSolver implements HessianTools {
  readonly layer: number;
  readonly solver: Solver;
  /** In the order in which they were made. */
  readonly dampingRaises: DampingRaise[] = [];
  private readonly work: Work;
  private readonly hessians: ReusedFloats;
  private readonly weights: ReusedFloats;
  private readonly task: PruneTask__Output;
  private readonly context: TaskContext;
  private current: { readonly statistic: string; readonly factor: HessianFactor } | null = null;

  private constructor(task: PruneTask__Output, context: TaskContext, solver: Solver, work: Work) {
    this.layer = task.layer;
    this.task = task;
    this.context = context;
    this.solver = solver;
    this.work = work;
    const shapes = prunedShapes(task);
    this.hessians = new ReusedFloats(Math.max(0, ...shapes.map(({ columns }) => columns ** 2)));
    this.weights = new ReusedFloats(Math.max(0, ...shapes.map(({ rows, columns }) => rows * columns)));
  }

  /** @param progress is told, about once a second, which share of the linear in hand is done: 0 to 1, never less than before */
  static async create(
    task: PruneTask__Output,
    context: TaskContext,
    progress: (share: number) => void = () => undefined,
  ): Promise<LayerSolver> {
    const { threads } = context;
    const work = new Work(progress);
    const alone = threads === 1 || operationsOf(task) < THREADS_WORTH_OPERATIONS;
    const solver = alone ? LocalSolver.create(work.done) : SolverPool.create({ threads, worked: work.done });
    return new LayerSolver(task, context, await solver, work);
  }

  release(): Promise<void> {
    this.current = null;
    return this.solver.close();
  }

  /** @throws InputsMissing (a part of the Hessian), CalibrationInvalid (not positive definite), NonFiniteValue, EngineFailed */
  async factorOf(job: LinearJob, dampingFraction: number): Promise<HessianFactor> {
    const statistic = this.task.linears.find(({ tensor }) => tensor === job.tensor)?.statistic;
    invariant(statistic !== undefined, `${job.tensor} is a linear of the task`);
    const isReady = this.current?.statistic === statistic;
    this.work.begin(sweepOperations(job) + (isReady ? 0 : factorOperations(job.columns)));
    if (this.current?.statistic === statistic) return this.current.factor;
    // The next one takes its place.
    this.current = null;
    const { layer, samples, hessians: files } = this.task;
    const { inputNormSquared: sums } = job.statistic();
    const hessian = await readHessian({ layer, statistic, files, sums, samples }, this.context, this.hessians.zeros);
    const linears = this.task.linears
      .filter((each) => each.statistic === statistic && each.selection !== 'keepAll')
      .map(({ tensor }) => tensor);
    const input = { hessian, columns: job.columns, dampingFraction, layer, linears };
    const factor = await prepareHessianFactor(input, this.solver, ({ from, to, column }) => {
      this.dampingRaises.push({ linears, from, to });
      this.context.notice(
        `layer ${layer}, ${linears.join(', ')}: the Hessian is not positive definite (input column ${column}) with ${from} of its diagonal's mean added; tries ${to}`,
      );
    });
    this.current = { statistic, factor };
    return factor;
  }

  readWeights(job: LinearJob): Promise<Float32Array> {
    return readLinear(job, this.weights.zeros);
  }

  writeWeights(job: LinearJob, weights: Float32Array): Promise<{ zeros: number }> {
    return writeLinear(job, weights);
  }
}

/** How far the solver is with the linear in hand. */
class Work {
  private readonly progress: (share: number) => void;
  private expected = 0;
  private before = 0;
  private operations = 0;

  constructor(progress: (share: number) => void) {
    this.progress = progress;
  }

  begin(expected: number): void {
    this.expected = expected;
    this.before = this.operations;
  }

  /** @param operations since the solver is there */
  readonly done = (operations: number): void => {
    this.operations = operations;
    this.progress(Math.min(1, (operations - this.before) / this.expected));
  };
}

function factorOperations(columns: number): number {
  return (2 / 3) * columns ** 3;
}

function sweepOperations({ rows, columns }: { readonly rows: number; readonly columns: number }): number {
  return rows * columns ** 2;
}

/** Of the linears that are not kept whole. */
function prunedShapes({ tensors, linears }: PruneTask__Output): { statistic: string; rows: number; columns: number }[] {
  return linears
    .filter(({ selection }) => selection !== 'keepAll')
    .map(({ tensor, statistic }) => {
      const [rows = 0, columns = 0] = tensors.find(({ name }) => name === tensor)?.shape ?? [];
      return { statistic, rows, columns };
    });
}

/** A factor for each input, a sweep for each linear. */
function operationsOf(task: PruneTask__Output): number {
  const shapes = prunedShapes(task);
  const inputs = new Map(shapes.map(({ statistic, columns }) => [statistic, columns]));
  const factors = [...inputs.values()].reduce((sum, columns) => sum + factorOperations(columns), 0);
  return shapes.reduce((sum, shape) => sum + sweepOperations(shape), factors);
}
