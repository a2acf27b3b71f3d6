/** Where a job is and why, as one line between its events: `Pruning (WaitingForWorker) since 04:31:20: needs …; there …`. Pure. */
import type { JobStatus__Output } from '../../shared/rpc/generated/secateur/v1/JobStatus.ts';
import { clean } from './table.ts';

/** In UTC, as the events have it. */
export function describeStatus({ phase, reason, message, sinceMs }: JobStatus__Output): string {
  return `${phase} (${reason}) since ${new Date(sinceMs).toISOString().slice(11, 19)}: ${clean(message)}`;
}
