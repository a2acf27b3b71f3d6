/**
 * Follows a job to its end, also over restarts of the coordinator: an event is heard once, in order, because each new
 * stream begins after the last one that was heard.
 */
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { type CloudEvent, fromCloudEvent } from '../shared/events/cloud-event.ts';
import type { Job__Output } from '../shared/rpc/generated/secateur/v1/Job.ts';
import type { JobStatus__Output } from '../shared/rpc/generated/secateur/v1/JobStatus.ts';
import type { Progress__Output } from '../shared/rpc/generated/secateur/v1/Progress.ts';
import type { Connection } from './connection.ts';
import { type OutageListener, Patience } from './patience.ts';
import { knownCode } from './report-error.ts';

export interface JobListener extends OutageListener {
  /** `json` is the event as it came, byte for byte. */
  event(event: CloudEvent, json: string): void;
  progress(progress: Progress__Output): void;
  /** Where the job is and why, whenever that has changed. */
  status(status: JobStatus__Output): void;
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

/** @returns the job as it ended. @throws Unavailable when the coordinator is away for too long */
export async function followJob(
  connection: Pick<Connection, 'watch' | 'get'>,
  reference: JobReference,
  listener: JobListener,
  options: FollowOptions,
): Promise<Job__Output> {
  const { signal } = options;
  const patience = new Patience(listener, signal);
  let after = options.after;
  for (;;) {
    try {
      for await (const response of connection.watch({ ...reference, afterSequence: after }, signal)) {
        patience.heard();
        if (response.progress) listener.progress(response.progress);
        if (response.status) listener.status(response.status);
        if (!response.eventJson) continue;
        const event = JSON.parse(response.eventJson) as CloudEvent;
        after = fromCloudEvent(event).sequence;
        listener.event(event, response.eventJson);
      }
      const job = await connection.get(reference);
      patience.heard();
      if (hasEnded(job)) return job;
      await patience.pause();
    } catch (thrown) {
      await patience.bear(thrown);
    }
  }
}

export function hasEnded(job: Pick<Job__Output, 'phase'>): boolean {
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
