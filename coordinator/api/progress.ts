/** How far a job is and how fast: from the state and from what workers last said. Not journaled, not part of the events. */
import type { Progress } from '../../shared/rpc/generated/secateur/v1/Progress.ts';
import { committedCount } from '../core/lifecycle.ts';
import { hasEnded, type JobState } from '../core/state.ts';

/** The speed is that of the last minute: long enough to hold a whole layer of a small model, short enough to follow. */
const RATE_WINDOW_MS = 60_000;

interface Sample {
  readonly atMs: number;
  readonly work: number;
}

export interface RunningTask {
  readonly done: number;
  readonly total: number;
  readonly unit: string;
}

export class ProgressTracker {
  private readonly running = new Map<string, RunningTask>();
  private readonly samples = new Map<string, Sample[]>();

  report(job: string, task: string, progress: RunningTask): void {
    this.running.set(`${job}/${task}`, progress);
  }

  forget(job: string, task: string): void {
    this.running.delete(`${job}/${task}`);
  }

  of(job: JobState, nowMs: number): Progress {
    const leases = Object.values(job.leases);
    this.dropOthers(job.id, new Set(leases.map((lease) => lease.task)));
    let work = job.workDone;
    for (const lease of leases) {
      if (lease.spec.kind === 'pass' || lease.spec.kind === 'evaluate')
        work += this.running.get(`${job.id}/${lease.task}`)?.done ?? 0;
    }
    const rate = hasEnded(job) ? 0 : this.rate(job.id, work, nowMs);
    if (hasEnded(job)) this.samples.delete(job.id);
    const left = Math.max(0, job.workTotal - work);
    // While an engine hangs, nobody knows.
    const isForeseeable = rate > 0 && leases.every((lease) => lease.silence === undefined);
    return {
      layersCommitted: committedCount(job),
      layerCount: job.intake?.layers.length ?? job.layers.length,
      workDone: Math.min(work, job.workTotal),
      workTotal: job.workTotal,
      tokensPerSecond: rate,
      remainingMs: isForeseeable ? (left / rate) * 1000 : -1,
      activity:
        leases.length > 0
          ? leases
              .map((lease) => lease.task)
              .sort()
              .join(', ')
          : job.message,
    };
  }

  /** Tasks that were aborted or lost bring no result, and a job that has ended is not asked for its speed again. */
  private dropOthers(job: string, tasks: ReadonlySet<string>): void {
    for (const key of this.running.keys()) {
      if (key.startsWith(`${job}/`) && !tasks.has(key.slice(job.length + 1))) this.running.delete(key);
    }
  }

  private rate(job: string, work: number, nowMs: number): number {
    const samples = this.samples.get(job) ?? [];
    // Before anything has moved there is no rate: the clock starts with the work.
    if (samples.at(-1)?.work === work && samples[0]?.work === work) samples.length = 0;
    samples.push({ atMs: nowMs, work });
    while (samples.length > 2 && nowMs - (samples[0] as Sample).atMs > RATE_WINDOW_MS) samples.shift();
    this.samples.set(job, samples);
    const first = samples[0] as Sample;
    const elapsedMs = nowMs - first.atMs;
    return elapsedMs <= 0 ? 0 : Math.max(0, ((work - first.work) / elapsedMs) * 1000);
  }
}
