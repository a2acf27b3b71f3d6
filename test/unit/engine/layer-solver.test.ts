/** Threads are started for layers that are worth it; the others are solved where the engine stands. */
import { expect, test } from 'vitest';
import type { PruneTask__Output } from '../../../shared/rpc/generated/secateur/v1/PruneTask.ts';
import { LayerSolver } from '../../../worker/engine/layer-solver.ts';
import { LocalSolver } from '../../../worker/engine/local-solver.ts';
import { SolverPool } from '../../../worker/engine/solver-pool.ts';
import type { TaskContext } from '../../../worker/engine/task-context.ts';

/** Two linears of the same input. */
function taskOf(rows: number, columns: number, selection: 'sparsity' | 'keepAll' = 'sparsity'): PruneTask__Output {
  const names = ['gate_proj', 'up_proj'];
  return {
    layer: 3,
    tensors: names.map((name) => ({ name, shape: [rows, columns] })),
    linears: names.map((tensor) => ({ tensor, statistic: 'mlpInput', selection, sparsity: 0.5 })),
  } as PruneTask__Output;
}

test.each([
  { what: 'a small layer', task: taskOf(224, 64), threads: 2, expected: LocalSolver },
  // 2/3 1024^3 + 2 * 2100 * 1024^2 = 5.1e9
  { what: 'a larger one', task: taskOf(2100, 1024), threads: 2, expected: SolverPool },
  { what: 'a larger one on one thread', task: taskOf(2100, 1024), threads: 1, expected: LocalSolver },
  {
    what: 'a larger one of which nothing is pruned',
    task: taskOf(2100, 1024, 'keepAll'),
    threads: 2,
    expected: LocalSolver,
  },
])('$what', async ({ task, threads, expected }) => {
  const solver = await LayerSolver.create(task, { threads } as TaskContext);
  expect(solver.solver).toBeInstanceOf(expected);
  await solver.release();
});
