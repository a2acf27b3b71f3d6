/**
 * Which changes of a job's phase, reason and message one watcher is told: those that stay for a moment. Between two tasks
 * a job may wait for some milliseconds; a line about each of those would hide the waits that matter.
 */
import type { JobStatus } from '../../shared/rpc/generated/secateur/v1/JobStatus.ts';
import type { JobState } from '../core/state.ts';

/** Far below the ten seconds within which everybody is to know. */
const STEADY_MS = 1_000;
/** Work goes on: which tasks it is comes as progress and as events. */
const WORKING: ReadonlySet<string> = new Set(['Running', 'ReducingStatistics']);

/** Whether a job with this reason gets on, rather than waits. */
export function isWorking(reason: string): boolean {
  return WORKING.has(reason);
}

export class StatusChanges {
  private told = '';
  private seen = '';
  private seenMs = 0;

  /** To be asked at least once a second. @returns null where there is nothing new to tell */
  next(job: Pick<JobState, 'phase' | 'reason' | 'message' | 'sinceMs'>, nowMs: number): JobStatus | null {
    const { phase, reason, message, sinceMs } = job;
    const key = isWorking(reason) ? phase : `${phase} ${reason} ${message}`;
    if (key !== this.seen) {
      this.seen = key;
      this.seenMs = nowMs;
    }
    if (key === this.told || (this.told !== '' && nowMs - this.seenMs < STEADY_MS)) return null;
    this.told = key;
    return { phase, reason, message, sinceMs };
  }
}
