/** Counts the outliers of one layer, from its weights in the source and the sums that came with the task. */
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import type { CountOutliersTask__Output } from '../../../shared/rpc/generated/secateur/v1/CountOutliersTask.ts';
import { countOutliers } from '../../methods/outliers.ts';
import type { Outcome } from '../messages.ts';
import type { TaskContext } from '../task-context.ts';
import { statisticOf, storedMatrix } from '../task-linears.ts';

export async function runCountOutliers(task: CountOutliersTask__Output, context: TaskContext): Promise<Outcome> {
  const begunMs = performance.now();
  const located = await context.files.fetchTensors(task.tensors);
  const linears = task.linears.map((linear) => {
    const matrix = storedMatrix(located.get(linear.tensor) as TensorLocation);
    return { ...matrix, statistic: statisticOf(task, linear, matrix.columns) };
  });
  const total = linears.reduce((sum, { rows, columns }) => sum + rows * columns, 0);
  const { outliers, weights } = await countOutliers(linears, task.threshold, await context.kernels(), (done) =>
    context.progress(done, 2 * total, 'weights'),
  );
  return { countOutliers: { outliers, weights, computeMs: performance.now() - begunMs } };
}
