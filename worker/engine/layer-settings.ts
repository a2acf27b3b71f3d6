/** Settings of the sessions that a task takes layers' weights into. */
import { castsOnce, threadsMax } from '../../shared/onnx/weight-casts.ts';
import type { SessionSettings } from './session.ts';
import type { TaskContext } from './task-context.ts';

/** @param tokens that go through each layer, all workers together: a number of the job, not of the task */
export function layerSettings(
  { model, provider, deviceId, threads }: TaskContext,
  tokens: number,
  sequenceLength: number,
): SessionSettings {
  const foldCasts = provider !== 'cpu' || castsOnce(model, tokens, sequenceLength);
  return { provider, deviceId, threads: foldCasts ? threads : Math.min(threads, threadsMax(model)), foldCasts };
}
