/** Linears as tasks name them: the matrix in its file, and the sums that came with the task. */
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import type { StatisticSum__Output } from '../../shared/rpc/generated/secateur/v1/StatisticSum.ts';
import { type FloatDtype, isFloatDtype } from '../../shared/safetensors/dtype.ts';
import type { StoredMatrix } from '../kernels/kernel-pool.ts';
import type { LinearStatistic } from '../methods/method.ts';

/** What of a task says what calibration learned. */
interface TaskStatistics {
  readonly statistics: readonly StatisticSum__Output[];
  /** Calibration sequences that the sums are over. */
  readonly samples: number;
}

export function storedMatrix({ name, dtype, shape, file, offset }: TensorLocation): StoredMatrix {
  const [rows, columns] = shape as [number, number];
  invariant(isFloatDtype(dtype), `${name} has a floating point type`);
  return { tensor: name, dtype: dtype as FloatDtype, rows, columns, source: { file, offset } };
}

/** @throws Internal where the task brought no sums of that statistic, or of another width */
export function statisticOf(
  { statistics, samples }: TaskStatistics,
  { tensor, statistic }: { readonly tensor: string; readonly statistic: string },
  columns: number,
): LinearStatistic {
  const found = statistics.find((each) => each.statistic === statistic);
  if (found === undefined || found.float64.length !== columns * 8) {
    throw new SecateurError(
      'Internal',
      `${tensor}: expected ${columns} values of the statistic ${statistic}; found ${found === undefined ? 'none' : found.float64.length / 8}`,
    );
  }
  // Decoded bytes stand at any offset: a copy is aligned.
  const inputNormSquared = new Float64Array(Uint8Array.from(found.float64).buffer);
  return { linear: tensor, inputNormSquared, samples };
}
