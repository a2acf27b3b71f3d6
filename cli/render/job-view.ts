/** A job as it is printed: the wire's message with its JSON texts unfolded, as fields and as tables. */
import type { Prediction } from '../../coordinator/core/state.ts';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { Job__Output } from '../../shared/rpc/generated/secateur/v1/Job.ts';
import type { ReplicaStatus__Output } from '../../shared/rpc/generated/secateur/v1/ReplicaStatus.ts';
import { showCount, showDuration } from '../../shared/units.ts';
import { type MeasuredParts, spendingFields } from './spending.ts';
import { type Column, renderFields, renderTable } from './table.ts';

/** The job for JSON and YAML: null where there is nothing to say yet, which the wire has as 0 or -1. */
export function jobView(job: Job__Output): object {
  const { manifestJson, planJson, measurementJson, failure, endedMs, progress, ...rest } = job;
  return {
    ...rest,
    endedMs: endedMs > 0 ? endedMs : null,
    progress: progress && { ...progress, remainingMs: progress.remainingMs >= 0 ? progress.remainingMs : null },
    manifest: unfold(manifestJson),
    plan: unfold(planJson),
    measurement: unfold(measurementJson),
    failure:
      failure === null ? null : { code: failure.code, message: failure.message, details: unfold(failure.detailsJson) },
  };
}

export function renderJobs(jobs: readonly Job__Output[], nowMs: number): string {
  const columns: Column<Job__Output>[] = [
    { title: 'JOB', value: (job) => job.id },
    { title: 'NAMESPACE', value: (job) => job.namespace },
    { title: 'PHASE', value: (job) => job.phase },
    { title: 'REASON', value: (job) => job.reason },
    { title: 'SINCE', value: (job) => showDuration(nowMs - job.sinceMs), align: 'right' },
    { title: 'LAYERS', value: showLayers, align: 'right' },
    { title: 'SUBMITTED', value: (job) => `${showDuration(nowMs - job.submittedMs)} ago`, align: 'right' },
    { title: 'DESTINATION', value: (job) => job.destination },
  ];
  return renderTable(columns, jobs);
}

export function renderJob(job: Job__Output, nowMs: number): string {
  const { progress } = job;
  const fields: [string, string][] = [
    ['job', job.id],
    ['namespace', job.namespace],
    ['phase', `${job.phase} (${job.reason}) for ${showDuration(nowMs - job.sinceMs)}`],
    ['message', job.message],
    ['destination', job.destination],
    ['submitted', new Date(job.submittedMs).toISOString()],
    ...(job.endedMs > 0 ? [['ended', new Date(job.endedMs).toISOString()] as [string, string]] : []),
    ['layers', showLayers(job)],
    ...showSpending(job),
    ...(progress !== null && progress.remainingMs > 0 && job.endedMs === 0
      ? [['remaining', showDuration(progress.remainingMs)] as [string, string]]
      : []),
    // A job that has failed says so in its reason and its message.
    ...(job.failure === null || job.failure.message === job.message
      ? []
      : [['failure', `${job.failure.code}: ${job.failure.message}`] as [string, string]]),
    ['events', String(job.lastSequence)],
  ];
  const stages = renderTable(
    [
      { title: 'STAGE', value: (stage) => String(stage.stage), align: 'right' },
      { title: 'LAYERS', value: (stage) => `${stage.firstLayer}-${stage.firstLayer + stage.layerCount - 1}` },
      { title: 'COMMITTED', value: (stage) => String(stage.committed), align: 'right' },
      { title: 'WORKER', value: ({ replica }) => replica?.worker ?? '-' },
      { title: 'MICROBATCHES', value: ({ replica }) => replica?.microbatches ?? '-' },
      { title: 'TOKENS/S', value: ({ replica }) => showRate(replica), align: 'right' },
      { title: 'RUNS', value: ({ replica }) => replica?.activity || '-' },
    ],
    // One line a replica; a stage that has none has a line all the same.
    job.stages.flatMap((stage) =>
      (stage.replicas.length === 0 ? [null] : stage.replicas).map((replica) => ({ ...stage, replica })),
    ),
  );
  return job.stages.length === 0 ? renderFields(fields) : `${renderFields(fields)}\n\n${stages}`;
}

/** Of a job that has succeeded: its time and its parts beside what was predicted. */
function showSpending(job: Job__Output): [string, string][] {
  const measured = unfold(job.measurementJson) as MeasuredParts | null;
  if (typeof measured?.totalMs !== 'number') return [];
  const { prediction = null } = (unfold(job.planJson) ?? {}) as { prediction?: Prediction | null };
  return spendingFields(measured.totalMs, measured, prediction);
}

function showLayers(job: Job__Output): string {
  const { layersCommitted = 0, layerCount = 0 } = job.progress ?? {};
  return layerCount === 0 ? '-' : `${layersCommitted}/${layerCount}`;
}

function showRate(replica: ReplicaStatus__Output | null): string {
  return replica === null || replica.tokensPerSecond === 0 ? '-' : showCount(Math.round(replica.tokensPerSecond));
}

function unfold(json: string): unknown {
  if (json === '') return null;
  try {
    return JSON.parse(json);
  } catch (thrown) {
    // Another version's text: better shown as it came than not at all.
    return { unreadable: toSecateurError(thrown).message, text: json };
  }
}
