/**
 * Notices tasks that get no further although their workers live: the heartbeats say how far a task is, and statistics and
 * snapshots come from it. What follows from that, the core decides.
 */
import type { EventOf, TaskIdentity } from '../core/events.ts';
import { activeJob, type CoordinatorState } from '../core/state.ts';
import { TASK_QUIET_MAX_MS } from '../core/workers.ts';

/** A microbatch of a large layer takes seconds; the fsync and the digest of a large layer less than this. */
const QUIET_MS = 60_000;

interface Watched {
  done: number;
  movedMs: number;
}

export class TaskWatch {
  private watched = new Map<string, Watched>();

  /** How far a task is, in any unit; without that: something of it has come. */
  moved(identity: TaskIdentity, nowMs: number, done?: number): void {
    const task = this.watched.get(keyOf(identity));
    // Known from the next look on: it is leased then.
    if (task === undefined || (done !== undefined && done <= task.done)) return;
    task.movedMs = nowMs;
    task.done = done ?? task.done;
  }

  /**
   * What is new about the leased tasks. To be asked once a second or so.
   *
   * @param isBehind of a worker: what it has said is not taken yet, and may be progress
   */
  look(state: CoordinatorState, nowMs: number, isBehind: (worker: string) => boolean): EventOf<'taskQuiet'>[] {
    const job = activeJob(state);
    const before = this.watched;
    this.watched = new Map();
    const news: EventOf<'taskQuiet'>[] = [];
    for (const { task, attempt, epoch, worker, quietSinceMs } of Object.values(job?.leases ?? {})) {
      const identity = { job: job?.id ?? '', task, attempt, epoch };
      const watched = before.get(keyOf(identity)) ?? { done: 0, movedMs: nowMs };
      this.watched.set(keyOf(identity), watched);
      if (isBehind(worker)) watched.movedMs = nowMs;
      const quietMs = nowMs - watched.movedMs;
      const isQuiet = quietMs >= QUIET_MS;
      const isNews = isQuiet !== (quietSinceMs !== undefined) || quietMs >= TASK_QUIET_MAX_MS;
      if (isNews) news.push({ type: 'taskQuiet', worker, identity, quietMs: isQuiet ? quietMs : 0 });
    }
    return news;
  }
}

function keyOf({ job, task, attempt, epoch }: TaskIdentity): string {
  return `${job}/${task}/${attempt}/${epoch}`;
}
