/**
 * One step being made: a draft of the next state, the commands and the events that it gives rise to.
 *
 * The state that came in is never written to: a job is copied, once, when it is first edited.
 */
import { invariant } from '../../shared/errors/secateur-error.ts';
import type { EventEntity, JobEvent, JsonObject } from '../../shared/events/job-event.ts';
import type { Command, StepResult } from './events.ts';
import type { CoordinatorState, JobPhase, JobState, WorkerState } from './state.ts';

export class Transition {
  readonly nowMs: number;
  private draft: CoordinatorState;
  private readonly before: CoordinatorState;
  private readonly edited = new Set<string>();
  private readonly commands: Command[] = [];
  private readonly events: JobEvent[] = [];

  constructor(state: CoordinatorState, nowMs: number) {
    this.before = state;
    this.draft = state;
    this.nowMs = nowMs;
  }

  get state(): CoordinatorState {
    return this.draft;
  }

  /**
   * The job, free to be written to; but its shares, rates, workersSeen and timeline, which have an entry for each worker and are
   * seldom written, whoever writes replaces as a whole: a thousand workers must not cost a copy of them with each result.
   */
  editJob(id: string): JobState {
    const job = this.draft.jobs[id];
    invariant(job !== undefined, `job ${id} is known`);
    if (this.edited.has(id)) return job;
    const copy: JobState = {
      ...job,
      stages: job.stages.map((stage) => ({ ...stage })),
      layers: job.layers.map((layer) => ({ ...layer })),
      held: { ...job.held },
      digests: { ...job.digests },
      leases: { ...job.leases },
      shunnedUntilMs: { ...job.shunnedUntilMs },
      retries: Object.fromEntries(Object.entries(job.retries).map(([task, retry]) => [task, { ...retry }])),
      assembled: [...job.assembled],
      evaluation: [...job.evaluation],
    };
    this.edited.add(id);
    this.draft = { ...this.draft, jobs: { ...this.draft.jobs, [id]: copy } };
    return copy;
  }

  addJob(job: JobState): JobState {
    this.edited.add(job.id);
    this.draft = {
      ...this.draft,
      jobs: { ...this.draft.jobs, [job.id]: job },
      queue: [...this.draft.queue, job.id],
    };
    return job;
  }

  moveToEnd(job: string): void {
    this.draft = { ...this.draft, queue: [...this.draft.queue.filter((id) => id !== job), job] };
  }

  setWorker(worker: WorkerState): void {
    this.draft = { ...this.draft, workers: { ...this.draft.workers, [worker.id]: worker } };
  }

  removeWorker(id: string): void {
    const { [id]: _removed, ...workers } = this.draft.workers;
    this.draft = { ...this.draft, workers };
  }

  setEpoch(epoch: number): void {
    this.draft = { ...this.draft, epoch };
  }

  command(command: Command): void {
    this.commands.push(command);
  }

  /** Tells an event of the job: the next in its gap-free sequence. */
  tell(jobId: string, entity: EventEntity, verb: string, data: JsonObject): void {
    const job = this.editJob(jobId);
    job.eventSequence += 1;
    this.events.push({
      namespace: job.namespace,
      job: job.id,
      sequence: job.eventSequence,
      atMs: this.nowMs,
      entity,
      verb,
      data: { epoch: this.draft.epoch, ...data },
    });
  }

  /** Says where a job is and why; `sinceMs` moves only when the phase or the reason does. */
  explain(jobId: string, phase: JobPhase, reason: string, message: string): void {
    const current = this.draft.jobs[jobId];
    if (current?.phase === phase && current.reason === reason && current.message === message) return;
    const job = this.editJob(jobId);
    if (job.phase !== phase || job.reason !== reason) job.sinceMs = this.nowMs;
    job.phase = phase;
    job.reason = reason;
    job.message = message;
  }

  finish(): StepResult {
    const changed = this.draft !== this.before;
    return { state: changed ? this.draft : this.before, commands: this.commands, events: this.events };
  }
}
