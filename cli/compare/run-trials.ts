/**
 * One trial after the other, each a job of one coordinator. What is done stays done: which trials are, and what came of
 * them, the coordinator knows, so that the same command goes on with the first that is not.
 */
import { type SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { type CloudEvent, fromCloudEvent } from '../../shared/events/cloud-event.ts';
import { updatesWeights } from '../../shared/manifest/method-options.ts';
import type { Connection } from '../connection.ts';
import { followJob, type JobListener } from '../follow-job.ts';
import type { ClosableListener } from '../render/job-listener.ts';
import { beginJob } from '../run/begin-job.ts';
import { type Decision, decideRun, type KnownJob } from '../run/decide.ts';
import { TrialFigures } from './comparison.ts';
import type { Trial } from './trials.ts';

export type TrialDecision = Decision | { readonly kind: 'done'; readonly job: string };

export interface TrialRun {
  readonly connection: Connection;
  readonly trials: readonly Trial[];
  /** Of each trial, in their order. */
  readonly decisions: readonly TrialDecision[];
  /** The job, of a trial that is done, whose work the next may take over; empty: there is none. */
  readonly reuse: string;
  readonly listener: ClosableListener;
  /** The last event of a job that was told before this command; left out: before it goes on with the job. */
  readonly toldBefore?: (job: string) => number;
  /** Nobody waits for the rest any more. */
  readonly signal?: AbortSignal;
  /** Nothing new is to be begun. */
  readonly leaving?: AbortSignal;
  /** Takes what is known so far, after every trial. */
  readonly progressed: (found: ReadonlyMap<string, TrialFigures>) => Promise<void>;
}

/**
 * Pure.
 *
 * @param claimedBy the job that the trial's destination belongs to; undefined where that cannot be looked at
 * @throws JobExists: the destination belongs to a job with another manifest
 */
export function decideTrial(
  trial: Trial,
  jobs: readonly KnownJob[],
  claimedBy: string | null | undefined,
): TrialDecision {
  const { destination } = trial.manifest.spec.output;
  const latest = jobs.findLast((job) => job.manifest.spec.output.destination === destination);
  const owner = claimedBy === undefined ? (latest?.id ?? null) : claimedBy;
  if (latest?.phase === 'Succeeded' && owner === latest.id) {
    // Another manifest's result is no result of this trial: said as for a job that goes on.
    decideRun(trial.manifest, [{ ...latest, phase: 'Assembling' }], owner);
    return { kind: 'done', job: latest.id };
  }
  return decideRun(trial.manifest, jobs, owner);
}

/** @throws SecateurError of whatever keeps every trial from going on; a trial that fails by itself is a figure */
export async function runTrials(run: TrialRun): Promise<ReadonlyMap<string, TrialFigures>> {
  const found = new Map<string, TrialFigures>();
  let { reuse } = run;
  for (const [index, trial] of run.trials.entries()) {
    const decision = run.decisions[index] as TrialDecision;
    if (run.leaving?.aborted === true && decision.kind !== 'done') continue;
    const figures = await runTrial({ ...run, reuse }, trial, decision, areHessiansWanted(run, index));
    if (decision.kind !== 'done' && figures.succeeded !== null) reuse = figures.succeeded;
    found.set(trial.name, figures);
    await run.progressed(found);
  }
  return found;
}

/** Whether a trial behind this one may take over Hessians: nobody keeps files of that size for nothing. */
function areHessiansWanted({ trials, decisions }: TrialRun, index: number): boolean {
  return trials.some(
    ({ manifest }, later) =>
      later > index && updatesWeights(manifest.spec.pruning) && decisions[later]?.kind !== 'done',
  );
}

async function runTrial(
  run: TrialRun,
  trial: Trial,
  decision: TrialDecision,
  keepHessians: boolean,
): Promise<TrialFigures> {
  const { connection, listener } = run;
  if (decision.kind === 'done') {
    listener.say(`${trial.name}: done before, by job ${decision.job}`);
    return figuresOf(run, decision.job, Number.POSITIVE_INFINITY);
  }
  let begun: Awaited<ReturnType<typeof beginJob>>;
  try {
    const submit = async () => {
      // What one trial has computed of the dense model holds for all (coordinator/core/reuse.ts).
      const job = await connection.submit(trial.manifest, { reuse: run.reuse, reusable: true, keepHessians });
      listener.say(`${trial.name}: job ${job.id} begins`);
      return job;
    };
    begun = await beginJob(connection, decision, listener.say, submit, run.toldBefore);
  } catch (thrown) {
    const error = toSecateurError(thrown);
    if (!isOwnFault(error)) throw error;
    return TrialFigures.refused(error.code, error.message);
  }
  return figuresOf(run, begun.job.id, begun.after);
}

/** What only this trial cannot do: the others may all the same. */
function isOwnFault({ code }: SecateurError): boolean {
  return code === 'ManifestInvalid' || code === 'OutputExists' || code === 'JobExists' || code === 'JobState';
}

/** Figures need the job's whole story; what happened before `after` is not told again to the listener. */
async function figuresOf(run: TrialRun, job: string, after: number): Promise<TrialFigures> {
  const { connection, listener, signal } = run;
  const figures = new TrialFigures();
  const heard: JobListener = {
    ...listener,
    event: (event: CloudEvent, json) => {
      figures.take(event);
      if (fromCloudEvent(event).sequence > after) listener.event(event, json);
    },
  };
  const reference = { job, namespace: '' };
  figures.end(await followJob(connection, reference, heard, { after: 0, ...(signal === undefined ? {} : { signal }) }));
  return figures;
}
