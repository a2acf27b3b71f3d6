/** A job out of the state: found by what a user calls it, and as the API shows it. Pure. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { countOf, isEmpty, showMicrobatches } from '../../shared/microbatch-set.ts';
import type { Job } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import type { Progress } from '../../shared/rpc/generated/secateur/v1/Progress.ts';
import { type CoordinatorState, type JobState, own } from '../core/state.ts';

/** A job that was resumed has its turn later, and its place in lists where it was. */
export function inOrderOfSubmission(state: CoordinatorState, namespace: string): JobState[] {
  return Object.values(state.jobs)
    .filter((job) => namespace === '' || job.namespace === namespace)
    .sort((a, b) => a.submittedMs - b.submittedMs);
}

/** By id, or by name: then the job of that name that was submitted last. */
export function findJob(state: CoordinatorState, name: string, namespace: string): JobState {
  const known = inOrderOfSubmission(state, namespace);
  const found = known.find((job) => job.id === name) ?? known.findLast((job) => job.name === name);
  if (found !== undefined) return found;
  const latest = known.slice(-5).map((job) => job.id);
  const there = latest.length === 0 ? 'there are no jobs' : `the latest jobs are ${latest.join(', ')}`;
  throw new SecateurError(
    'JobNotFound',
    `job "${name}"${namespace === '' ? '' : ` in namespace ${namespace}`}: not known; ${there}`,
    { details: { job: name } },
  );
}

export function describeJob(job: JobState, progress: Progress): Job {
  return {
    id: job.id,
    namespace: job.namespace,
    name: job.name,
    phase: job.phase,
    reason: job.reason,
    message: job.message,
    sinceMs: job.sinceMs,
    submittedMs: job.submittedMs,
    endedMs: job.endedMs ?? 0,
    destination: job.manifest.spec.output.destination,
    manifestJson: JSON.stringify(job.manifest),
    planJson: job.plan === null ? '' : JSON.stringify(job.plan),
    progress,
    measurementJson: job.measurement ? JSON.stringify(job.measurement) : '',
    failure:
      job.failure === null
        ? null
        : { code: job.failure.code, message: job.failure.message, detailsJson: JSON.stringify(job.failure.details) },
    lastSequence: job.eventSequence,
    stages: job.stages.map((stage, index) => ({
      stage: index,
      firstLayer: stage.firstLayer,
      layerCount: stage.layerCount,
      committed: job.layers
        .slice(stage.firstLayer, stage.firstLayer + stage.layerCount)
        .filter((layer) => layer.status === 'committed').length,
      replicas: Object.entries(stage.shares)
        .filter(([, share]) => !isEmpty(share))
        .map(([worker, share]) => ({
          worker,
          microbatchCount: countOf(share),
          microbatches: showMicrobatches(share),
          activity: Object.values(job.leases).find((lease) => lease.worker === worker)?.task ?? '',
          tokensPerSecond: own(job.rates, worker) ?? 0,
        })),
    })),
  };
}
