/**
 * Follows a job to its end, also over restarts of the coordinator: an event is heard once, in order, because each new
 * stream begins after the last one that was heard.
 */
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { type CloudEvent, fromCloudEvent } from '../shared/events/cloud-event.ts';
import type { Job__Output } from '../shared/rpc/generated/secateur/v1/Job.ts';
import type { Progress__Output } from '../shared/rpc/generated/secateur/v1/Progress.ts';
import type { Connection } from './connection.ts';
import { knownCode } from './report-error.ts';

/** A coordinator that is away longer is given up. */
const AWAY_MS_MAX = 120_000;
const RETRY_INTERVAL_MS = 500;

export interface JobListener {
  /** `json` is the event as it came, byte for byte. */
  event(event: CloudEvent, json: string): void;
  progress(progress: Progress__Output): void;
  /** Said once an outage. */
  away(why: string): void;
}

export interface JobReference {
  readonly job: string;
  readonly namespace: string;
}

export interface FollowOptions {
  /** The sequence number of the last event that is known already. */
  readonly after: number;
  readonly signal?: AbortSignal;
}

/** @returns the job as it ended. @throws Unavailable when the coordinator is never there, or away for too long */
export async function followJob(
  connection: Pick<Connection, 'watch' | 'get'>,
  reference: JobReference,
  listener: JobListener,
  options: FollowOptions,
): Promise<Job__Output> {
  const { signal } = options;
  let after = options.after;
  let heardMs: number | null = null;
  let isAway = false;
  for (;;) {
    try {
      for await (const response of connection.watch({ ...reference, afterSequence: after }, signal)) {
        heardMs = Date.now();
        isAway = false;
        if (response.progress) listener.progress(response.progress);
        if (!response.eventJson) continue;
        const event = JSON.parse(response.eventJson) as CloudEvent;
        after = fromCloudEvent(event).sequence;
        listener.event(event, response.eventJson);
      }
      const job = await connection.get(reference);
      if (hasEnded(job)) return job;
      heardMs = Date.now();
    } catch (thrown) {
      const canWait = heardMs !== null && Date.now() - heardMs < AWAY_MS_MAX && signal?.aborted !== true;
      if (!canWait || !isOutage(thrown)) throw thrown;
      if (!isAway) listener.away(thrown.message);
      isAway = true;
    }
    await pause(RETRY_INTERVAL_MS);
  }
}

function hasEnded(job: Pick<Job__Output, 'phase'>): boolean {
  return job.phase === 'Succeeded' || job.phase === 'Failed' || job.phase === 'Cancelled';
}

/** Nothing for a job that succeeded; else what a command that waited for it ends with. */
export function throwUnlessSucceeded(job: Job__Output): void {
  if (job.phase === 'Failed') {
    const { code = 'JobFailed', message = job.message } = job.failure ?? {};
    throw new SecateurError(knownCode(code), `job ${job.id} failed: ${message}`, { details: { job: job.id, code } });
  }
  if (job.phase === 'Cancelled') {
    throw new SecateurError(
      'JobFailed',
      `job ${job.id} was cancelled. Its committed layers stay: "secateur resume ${job.id}" goes on from them.`,
      { details: { job: job.id } },
    );
  }
}

/** The coordinator stopped, or its machine went away. A stream that it cut is `Cancelled`. */
function isOutage(thrown: unknown): thrown is SecateurError {
  return (
    thrown instanceof SecateurError &&
    (thrown.code === 'Unavailable' || thrown.code === 'DeadlineExceeded' || thrown.code === 'Cancelled')
  );
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
