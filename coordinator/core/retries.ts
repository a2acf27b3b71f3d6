/** How often work has gone wrong, microbatch by microbatch: many workers that fail once each are not one task that fails. */
import { difference, intersection, isEmpty, type MicrobatchSet, union } from '../../shared/microbatch-set.ts';
import { type JobState, own, type RetryState } from './state.ts';
import type { TaskSpec } from './task.ts';

/** Of tasks that have no microbatches. */
const THE_TASK: MicrobatchSet = [[0, 1]];

export function chargedBy(spec: TaskSpec): MicrobatchSet {
  if ('microbatches' in spec) return spec.microbatches;
  return 'windows' in spec ? spec.windows : THE_TASK;
}

/** What went wrong with a kind of task so far; free to be written to where the job is. */
export function retryOf(job: JobState, kind: string): RetryState {
  const retry = own(job.retries, kind) ?? { failed: [], lost: [], notBeforeMs: 0 };
  job.retries[kind] = retry;
  return retry;
}

/** @returns the levels with these microbatches counted once more: as many levels as the worst of all has counts */
export function charge(levels: readonly MicrobatchSet[], microbatches: MicrobatchSet): MicrobatchSet[] {
  const above = levels.map((level) => intersection(level, microbatches));
  return [...levels, []]
    .map((level, count) => union(level, count === 0 ? microbatches : (above[count - 1] as MicrobatchSet)))
    .filter((level) => !isEmpty(level));
}

/** How often the worst of these microbatches has gone wrong. */
export function worstOf(levels: readonly MicrobatchSet[], microbatches: MicrobatchSet): number {
  return levels.filter((level) => !isEmpty(intersection(level, microbatches))).length;
}

/** What went well is forgiven. */
export function forgive(job: JobState, kind: string, microbatches: MicrobatchSet): void {
  const retry = own(job.retries, kind);
  if (retry === undefined) return;
  const left = (levels: readonly MicrobatchSet[]): MicrobatchSet[] =>
    levels.map((level) => difference(level, microbatches)).filter((level) => !isEmpty(level));
  retry.failed = left(retry.failed);
  retry.lost = left(retry.lost);
  if (retry.failed.length === 0 && retry.lost.length === 0) delete job.retries[kind];
}
