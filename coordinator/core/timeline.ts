/**
 * What each worker did for a job, and when: for its report. Tasks of the same kind at the same layer that follow one another
 * are one span. Pure.
 *
 * Invariants:
 *  1. A worker's spans follow one another in time: it has at most one lease.
 *  2. However long a job runs, it has few spans: where a worker has too many, neighbours become one. No task is left out
 *     of `tasks`, `busyMs` and the three counts of what went wrong.
 */
import type { TaskOutcome } from './events.ts';
import { type JobState, type Lease, own, type Span } from './state.ts';
import type { TaskSpec } from './task.ts';

/** Of a whole job, shared among its workers: about a megabyte of the journal's checkpoint. */
const SPANS_MAX = 8_192;
/** Of a worker, however many there are: enough for a picture. */
const WORKER_SPANS_MIN = 16;

/** How a lease ended. */
export type LeaseEnd = 'done' | 'failed' | 'lost' | 'stopped';

/** Adds a lease that has ended to its worker's spans; with what came of it, where something did. */
export function noteLease(job: JobState, lease: Lease, end: LeaseEnd, nowMs: number, outcome?: TaskOutcome): void {
  const spans = own(job.timeline ?? {}, lease.worker) ?? [];
  const span = { ...spanOf(lease, end, nowMs), ...(outcome === undefined ? {} : timesOf(outcome)) };
  const last = spans.at(-1);
  const isMore = last !== undefined && last.kind === span.kind && sameLayers(last, span);
  const added = isMore ? [...spans.slice(0, -1), joined(last, span)] : [...spans, span];
  const workers = Math.max(1, Object.keys(job.workersSeen).length);
  const spansMax = Math.max(WORKER_SPANS_MIN, Math.floor(SPANS_MAX / workers));
  job.timeline = { ...job.timeline, [lease.worker]: added.length > spansMax ? halved(added) : added };
}

function spanOf({ spec, leasedMs }: Lease, end: LeaseEnd, nowMs: number): Span {
  const layers = layersOf(spec);
  return {
    kind: kindOf(spec),
    ...(layers === null ? {} : { layers }),
    fromMs: leasedMs,
    toMs: nowMs,
    busyMs: nowMs - leasedMs,
    tasks: 1,
    ...(end === 'done' ? {} : { [end]: 1 }),
  };
}

/** What of a task its worker measured. */
function timesOf(outcome: TaskOutcome): Pick<Span, 'computeMs' | 'ioMs'> {
  switch (outcome.kind) {
    case 'pass': {
      const { computeMs, loadMs, snapshotMs } = outcome.spent;
      return { computeMs, ioMs: loadMs + snapshotMs };
    }
    case 'prune':
      return { computeMs: outcome.pruneMs, ioMs: outcome.commitMs };
    case 'evaluate':
    case 'measureError':
    case 'countOutliers':
      return { computeMs: outcome.computeMs };
    default:
      return {};
  }
}

function layersOf(spec: TaskSpec): [number, number] | null {
  if (spec.kind === 'pass' || spec.kind === 'prune' || spec.kind === 'countOutliers') return [spec.layer, spec.layer];
  return spec.kind === 'handOver' ? [spec.boundary, spec.boundary] : null;
}

function kindOf(spec: TaskSpec): Span['kind'] {
  switch (spec.kind) {
    case 'prepareCalibration':
    case 'prepareEvaluation':
      return 'prepare';
    case 'digestSource':
      return 'digest';
    case 'pass':
      return spec.statistics || spec.hessian ? 'calibrate' : 'forward';
    case 'countOutliers':
      return 'survey';
    case 'prune':
      return 'prune';
    case 'evaluate':
    case 'measureError':
      return 'evaluate';
    case 'handOver':
      return 'handOver';
  }
}

function sameLayers(a: Span, b: Span): boolean {
  return a.layers?.[0] === b.layers?.[0] && a.layers?.[1] === b.layers?.[1];
}

/** Of two that follow one another. */
function joined(a: Span, b: Span): Span {
  const layers = [...(a.layers ?? []), ...(b.layers ?? [])];
  return {
    kind: a.kind === b.kind ? a.kind : 'several',
    ...(layers.length === 0 ? {} : { layers: [Math.min(...layers), Math.max(...layers)] as const }),
    fromMs: a.fromMs,
    toMs: b.toMs,
    busyMs: a.busyMs + b.busyMs,
    tasks: a.tasks + b.tasks,
    ...counted('computeMs', a, b),
    ...counted('ioMs', a, b),
    ...counted('failed', a, b),
    ...counted('lost', a, b),
    ...counted('stopped', a, b),
  };
}

function counted(what: 'computeMs' | 'ioMs' | 'failed' | 'lost' | 'stopped', a: Span, b: Span): object {
  const count = (a[what] ?? 0) + (b[what] ?? 0);
  return count === 0 ? {} : { [what]: count };
}

/** Half as many: each with its neighbour. */
function halved(spans: readonly Span[]): Span[] {
  const half: Span[] = [];
  for (let index = 0; index < spans.length; index += 2) {
    const [first, second] = [spans[index] as Span, spans[index + 1]];
    half.push(second === undefined ? first : joined(first, second));
  }
  return half;
}
