/** Where a job is and why, as one line between its events: `04:31:20  Pruning (WaitingForWorker): needs …; there …`. Pure. */
import type { JobStatus__Output } from '../../shared/rpc/generated/secateur/v1/JobStatus.ts';
import { clean } from './table.ts';

/** The time is that since when it is so, in UTC as the events have it. */
export function describeStatus({ phase, reason, message, sinceMs }: JobStatus__Output): string {
  return `${new Date(sinceMs).toISOString().slice(11, 19)}  ${phase} (${reason}): ${clean(message)}`;
}
