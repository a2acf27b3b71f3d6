/**
 * Carries the core's commands out. Each runs on its own; what comes of it goes back to the loop as an event. Every
 * command may be carried out twice (a restart repeats those that were under way).
 */

import { type ErrorCode, invariant, toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { Task } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { type EffectCommand, effectName } from '../core/effects.ts';
import type { Command, CoreEvent } from '../core/events.ts';
import { currentLease, type JobState, jobOf, lifeOf, type ReusedCopies } from '../core/state.ts';
import { needsSums } from '../core/task.ts';
import type { CommandRunner, CoordinatorLoop } from '../loop.ts';
import type { JobWork } from './job-work.ts';

export interface WorkerDelivery {
  assign(worker: string, task: Task): void;
  deliver(command: Extract<Command, { kind: 'abort' | 'releaseJob' | 'dismiss' }>): void;
}

/** The sums of a layer are not there, or not what was written: another try would find them so again. */
const UNREADABLE: ReadonlySet<ErrorCode> = new Set(['ChecksumMismatch', 'SourceMissing', 'SafetensorsInvalid']);

export class Effects implements CommandRunner {
  private readonly loop: CoordinatorLoop;
  private readonly work: JobWork;
  private readonly workers: WorkerDelivery;
  private readonly onError: (thrown: unknown) => void;
  /** The last effect of each kind and job: the next waits for it, so that one runs at a time. */
  private readonly underWay = new Map<string, Promise<void>>();

  constructor(loop: CoordinatorLoop, work: JobWork, workers: WorkerDelivery, onError: (thrown: unknown) => void) {
    this.loop = loop;
    this.work = work;
    this.workers = workers;
    this.onError = onError;
  }

  run(command: Command): void {
    switch (command.kind) {
      case 'abort':
      case 'releaseJob':
      case 'dismiss':
        return this.workers.deliver(command);
      case 'assign':
        return this.assign(command);
      case 'intake':
        return this.effect(command, async (job) => {
          if (job.phase !== 'Intake') return null;
          const intake = await this.work.intake(job);
          const copies = await this.copyKept(job);
          const about = { type: 'intakeSucceeded', job: job.id, life: lifeOf(job), intake } as const;
          return copies === null ? about : { ...about, copies };
        });
      case 'reduceStatistics':
        return this.effect(command, (job) => this.reduce(job, command.layer));
      case 'removeStaged':
        return this.remove(command);
      case 'dropKept':
        return this.dropKept(command);
      case 'assembleShard':
        return this.effect(command, async (job) => {
          const { shard } = command;
          if (job.phase !== 'Assembling' || job.assembled.length !== shard) return null;
          const file = await this.work.assembleShard(job, shard);
          return { type: 'shardAssembled', job: job.id, life: lifeOf(job), shard, file };
        });
      case 'publishCheckpoint':
        return this.effect(command, async (job) => {
          if (job.phase !== 'Assembling') return null;
          const { files, statisticsMissing } = await this.work.publish(job);
          const told = statisticsMissing.length === 0 ? {} : { statisticsMissing };
          return { type: 'checkpointPublished', job: job.id, life: lifeOf(job), files, ...told };
        });
    }
  }

  /** Files that stay behind take space until the job is published, and nothing else. */
  private remove({ job: id, names }: Extract<Command, { kind: 'removeStaged' }>): void {
    const job = jobOf(this.loop.state, id);
    if (job !== undefined) this.work.removeStaged(job, names).catch(this.onError);
  }

  private copyKept(job: JobState): Promise<ReusedCopies | null> {
    const earlier = job.reuse?.status === 'open' ? jobOf(this.loop.state, job.reuse.job) : undefined;
    if (earlier?.kept === undefined) return Promise.resolve(null);
    return this.work.copyKept(job, earlier, earlier.kept);
  }

  private dropKept({ job: id, only }: Extract<Command, { kind: 'dropKept' }>): void {
    const job = jobOf(this.loop.state, id);
    if (job !== undefined) this.work.dropKept(job, only).catch(this.onError);
  }

  private async reduce(job: JobState, layer: number): Promise<CoreEvent | null> {
    if (job.layers[layer]?.status !== 'reducing') return null;
    const file = await this.work.reduce(job, layer);
    if (file === null) return { type: 'statisticsLost', job: job.id, life: lifeOf(job), layer };
    return { type: 'statisticsReduced', job: job.id, life: lifeOf(job), layer, file };
  }

  /**
   * Runs `work` on the job as it is when its turn comes, and submits the event that says what came of it; null where
   * there was nothing left to do (the same command came twice).
   */
  private effect(command: EffectCommand, work: (job: JobState) => Promise<CoreEvent | null>): void {
    const name = effectName(command);
    const key = `${command.job}/${name}`;
    const turn = (this.underWay.get(key) ?? Promise.resolve())
      .then(() => this.outcomeOf(command.job, name, work))
      .then((event) => (event === null ? undefined : this.conclude(event)))
      .catch(this.onError)
      .finally(() => {
        if (this.underWay.get(key) === turn) this.underWay.delete(key);
      });
    this.underWay.set(key, turn);
  }

  private async conclude(event: CoreEvent): Promise<void> {
    await this.loop.submit(event);
    if (event.type !== 'statisticsReduced') return;
    const job = jobOf(this.loop.state, event.job);
    // Once the sums are in the journal nobody will ask for the samples again.
    if (job !== undefined && job.layers[event.layer]?.status !== 'reducing')
      await this.work.dropSamples(job, event.layer);
  }

  private async outcomeOf(
    jobId: string,
    effect: string,
    work: (job: JobState) => Promise<CoreEvent | null>,
  ): Promise<CoreEvent | null> {
    const job = jobOf(this.loop.state, jobId);
    invariant(job !== undefined, `job ${jobId} is known`);
    try {
      return await work(job);
    } catch (thrown) {
      const { code, message, details, retryable, stack } = toSecateurError(thrown);
      if (code === 'Internal') this.onError(stack);
      // What the job itself wrote it can write again.
      if (typeof details.staged === 'string')
        return { type: 'fileLost', job: jobId, life: lifeOf(job), name: details.staged, why: message };
      const failure = { code, message, details, retryable };
      return { type: 'effectFailed', job: jobId, life: lifeOf(job), effect, failure };
    }
  }

  /** A task that cannot even be described (its statistics are gone, say) is a failure of that attempt. */
  private assign(command: Extract<Command, { kind: 'assign' }>): void {
    const { identity, spec, worker } = command;
    const job = jobOf(this.loop.state, identity.job);
    invariant(job !== undefined, `job ${identity.job} is known`);
    this.work
      .describeTask(job, spec, identity)
      .then((task) => {
        // Described while the job was cancelled, say: then there is nothing to run.
        if (currentLease(this.loop.state, identity) === undefined) return;
        // Without a stream now, the worker's next registration shows that it never got the task.
        this.workers.assign(worker, task);
      })
      .catch(async (thrown: unknown) => {
        const { code, message, details, retryable } = toSecateurError(thrown);
        const failure = { code, message, details, retryable: retryable || needsSums(spec) };
        const failed = this.loop.submit({ type: 'taskFailed', worker, identity, failure, holdings: null });
        // In the same turn, before the task can be given out again.
        const { job: id } = identity;
        const lost =
          needsSums(spec) && UNREADABLE.has(code)
            ? this.loop.submit({ type: 'statisticsLost', job: id, life: lifeOf(job), layer: spec.layer })
            : undefined;
        await Promise.all([failed, lost]);
      })
      .catch(this.onError);
  }
}
