/** How often work has gone wrong, microbatch by microbatch: many workers that fail once each are not one task that fails. */
import { difference, intersection, isEmpty, type MicrobatchSet, union } from '../../shared/microbatch-set.ts';
import { type JobFailure, type JobState, own, type RetryState } from './state.ts';
import type { TaskSpec } from './task.ts';

/** Attempts of one task, or of one effect of the coordinator, that may fail for a reason that could pass. */
export const FAILURES_MAX = 4;
const RETRY_BASE_MS = 500;
/** Of a failure, in the message of a job that waits to try again: the whole of it is in the event. */
const WHY_CHARACTERS_MAX = 300;
/** What has no microbatches. */
export const THE_WHOLE: MicrobatchSet = [[0, 1]];

export function chargedBy(spec: TaskSpec): MicrobatchSet {
  if ('microbatches' in spec) return spec.microbatches;
  return 'windows' in spec ? spec.windows : THE_WHOLE;
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

/** For the message of a job that waits. */
export function whyOf({ code, message }: JobFailure): string {
  return `${code}: ${message.slice(0, WHY_CHARACTERS_MAX)}`;
}

/**
 * Counts a failure, and sets the pause after it: it doubles with each.
 *
 * @returns how often the worst of these microbatches has failed by now
 */
export function noteFailure(retry: RetryState, microbatches: MicrobatchSet, nowMs: number): number {
  retry.failed = charge(retry.failed, microbatches);
  const count = worstOf(retry.failed, microbatches);
  retry.notBeforeMs = nowMs + RETRY_BASE_MS * 2 ** (count - 1);
  return count;
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
