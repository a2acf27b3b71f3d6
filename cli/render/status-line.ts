/** What is said between a job's events, a line each. Pure. */
import type { JobStatus__Output } from '../../shared/rpc/generated/secateur/v1/JobStatus.ts';
import { clean } from './table.ts';

/** `Pruning (WaitingForWorker) since 04:31:20: needs …; there …`: in UTC, as the events have it. */
export function describeStatus({ phase, reason, message, sinceMs }: JobStatus__Output): string {
  return `${phase} (${reason}) since ${new Date(sinceMs).toISOString().slice(11, 19)}: ${clean(message)}`;
}

export function describeAway(why: string): string {
  return `the coordinator is away, trying again: ${why}`;
}

export const BACK = 'the coordinator is back';
