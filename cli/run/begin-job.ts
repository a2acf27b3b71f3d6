/** A job that is begun, or gone on with, as decide.ts says; and the jobs that a coordinator knows already. */
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import type { Connection } from '../connection.ts';
import type { Decision, KnownJob } from './decide.ts';

export interface BegunJob {
  readonly job: Job__Output;
  /** The sequence number of the last event that is not this run's story. */
  readonly after: number;
}

/** Jobs, of those that write to one of these destinations where some are given, in the order of their submission. */
export async function knownJobs(connection: Connection, destinations?: ReadonlySet<string>): Promise<KnownJob[]> {
  const known: KnownJob[] = [];
  for (const { id, phase: shown, progress, destination } of (await connection.list('')).jobs) {
    if (destinations?.has(destination) === false) continue;
    const { manifestJson, planJson } = await connection.get({ job: id, namespace: '' });
    const manifest = JSON.parse(manifestJson) as Manifest;
    // One that was planned reads its inputs again: it has claimed its destination long ago.
    const phase = shown === 'Intake' && planJson !== '' ? 'Preparing' : shown;
    known.push({ id, phase, manifest, layersCommitted: progress?.layersCommitted ?? 0 });
  }
  return known;
}

/**
 * @param submit is called where the decision is to submit
 * @param toldBefore the last event of a job that was told before this run; left out: before now
 */
export async function beginJob(
  connection: Connection,
  decision: Decision,
  say: (text: string) => void,
  submit: () => Promise<Job__Output>,
  toldBefore?: (job: string) => number,
): Promise<BegunJob> {
  const namespace = '';
  switch (decision.kind) {
    case 'submit': {
      if (decision.cancelFirst !== null) {
        say(`gives up job ${decision.cancelFirst}: its files at the destination are gone`);
        await connection.cancel({ job: decision.cancelFirst, namespace }).catch((thrown: unknown) => {
          // The coordinator, which reads the inputs of what it goes on with, may have found out first.
          if (toSecateurError(thrown).code !== 'JobState') throw thrown;
        });
      }
      return { job: await submit(), after: 0 };
    }
    case 'continue': {
      say(`goes on with job ${decision.job}, which was interrupted`);
      const job = await connection.get({ job: decision.job, namespace });
      // What the coordinator has found out since it started (inputs that changed, say) is this run's story.
      return { job, after: toldBefore?.(job.id) ?? job.lastSequence };
    }
    case 'resume': {
      say(`resumes job ${decision.job}, which had ${decision.phase === 'Failed' ? 'failed' : 'been cancelled'}`);
      // What was told before the resume is not this run's story.
      const { lastSequence } = await connection.get({ job: decision.job, namespace });
      return { job: await connection.resume({ job: decision.job, namespace }), after: lastSequence };
    }
  }
}
