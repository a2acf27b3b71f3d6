/** What a job took beside what was predicted, as fields. Pure. */
import type { Measurement, Prediction } from '../../coordinator/core/state.ts';
import { showBytes, showDuration } from '../../shared/units.ts';

/** What is shown of a measurement; records of earlier versions tell nothing of evaluations. */
export type MeasuredParts = Prediction & Partial<Pick<Measurement, 'evaluateMs'>>;

/** A job of seconds is overhead; its parts say nothing. */
const PARTS_SHOWN_FROM_MS = 10_000;

const PARTS = [
  ['compute', 'computeMs', showDuration],
  ['load', 'loadMs', showDuration],
  ['prune', 'pruneMs', showDuration],
  ['snapshots', 'snapshotMs', showDuration],
  ['read', 'bytesRead', showBytes],
  ['written', 'bytesWritten', showBytes],
  ['memory', 'workerMemoryBytes', showBytes],
] as const;

/** Times of the parts are added up over the workers; memory is that of the worker that had the most. */
export function spendingFields(
  elapsedMs: number,
  measured: MeasuredParts | null,
  predicted: Prediction | null,
): [string, string][] {
  const time: [string, string] = ['time', beside(showDuration, elapsedMs, predicted?.totalMs)];
  if (measured === null || elapsedMs < PARTS_SHOWN_FROM_MS) return [time];
  const parts = PARTS.map(([name, field, show]): [string, string] => [
    name,
    beside(show, measured[field], predicted?.[field]),
  ]);
  const { evaluateMs = 0 } = measured;
  return [time, ...parts, ...(evaluateMs === 0 ? [] : [['evaluate', showDuration(evaluateMs)] as [string, string]])];
}

function beside(show: (value: number) => string, measured: number, predicted: number | undefined): string {
  return predicted === undefined ? show(measured) : `${show(measured)} (predicted ${show(predicted)})`;
}
