/**
 * Carries the core's commands out. Each runs on its own; what comes of it goes back to the loop as an event. Every
 * command may be carried out twice (a restart repeats those that were under way).
 */

import { invariant, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { locationToPath } from '../../shared/manifest/resolve-locations.ts';
import type { Task } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { assembleShard } from '../assembly/assemble-shard.ts';
import { publishCheckpoint } from '../assembly/publish.ts';
import type { Command, CoreEvent } from '../core/events.ts';
import { currentLease, type JobState, jobOf } from '../core/state.ts';
import type { CommandRunner, CoordinatorLoop } from '../loop.ts';
import { claimOutput } from './claim-output.ts';
import { type JobPaths, jobPaths } from './job-paths.ts';
import { readIntake } from './read-intake.ts';
import { digestTouched } from './source-drift.ts';
import { dropSamples, reduceStatistics } from './statistics.ts';
import { taskMessage } from './task-messages.ts';

export interface WorkerDelivery {
  assign(worker: string, task: Task): void;
  deliver(command: Extract<Command, { kind: 'abort' | 'releaseJob' }>): void;
}

export class Effects implements CommandRunner {
  private readonly loop: CoordinatorLoop;
  private readonly stateDirectory: string;
  private readonly workers: WorkerDelivery;
  private readonly onError: (thrown: unknown) => void;
  /** The last effect of each kind and job: the next waits for it, so that one runs at a time. */
  private readonly underWay = new Map<string, Promise<void>>();

  constructor(
    loop: CoordinatorLoop,
    stateDirectory: string,
    workers: WorkerDelivery,
    onError: (thrown: unknown) => void,
  ) {
    this.loop = loop;
    this.stateDirectory = stateDirectory;
    this.workers = workers;
    this.onError = onError;
  }

  run(command: Command): void {
    switch (command.kind) {
      case 'abort':
      case 'releaseJob':
        return this.workers.deliver(command);
      case 'assign':
        return this.assign(command);
      case 'intake':
        return this.effect(command.job, 'intake', async (job, paths) => {
          if (job.phase !== 'Intake') return null;
          const intake = await digestTouched(job, await readIntake(job.manifest));
          await claimOutput(paths, job.id, job.calibration !== null);
          return { type: 'intakeSucceeded', job: job.id, intake };
        });
      case 'reduceStatistics':
        return this.effect(command.job, `reduce-${command.layer}`, (job, paths) =>
          reduceLayer(job, command.layer, paths),
        );
      case 'assembleShard':
        return this.effect(command.job, 'assembly', async (job, paths) => {
          if (job.phase !== 'Assembling' || job.assembled.length !== command.shard) return null;
          const file = await assembleShard(job, command.shard, paths);
          return { type: 'shardAssembled', job: job.id, shard: command.shard, file };
        });
      case 'publishCheckpoint':
        return this.effect(command.job, 'publish', async (job, paths) => {
          if (job.phase !== 'Assembling') return null;
          const files = await publishCheckpoint(job, paths, Date.now());
          return { type: 'checkpointPublished', job: job.id, files };
        });
    }
  }

  pathsOf(job: JobState): JobPaths {
    return jobPaths(this.stateDirectory, job.id, locationToPath(job.manifest.spec.output.destination));
  }

  /**
   * Runs `work` on the job as it is when its turn comes, and submits the event that says what came of it; null where
   * there was nothing left to do (the same command came twice).
   */
  private effect(
    jobId: string,
    name: string,
    work: (job: JobState, paths: JobPaths) => Promise<CoreEvent | null>,
  ): void {
    const key = `${jobId}/${name}`;
    const turn = (this.underWay.get(key) ?? Promise.resolve())
      .then(() => this.outcomeOf(jobId, name, work))
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
    // The sums are in the journal: nobody will ask for the samples again.
    if (job !== undefined) await dropSamples(this.pathsOf(job).state, event.layer);
  }

  private async outcomeOf(
    jobId: string,
    effect: string,
    work: (job: JobState, paths: JobPaths) => Promise<CoreEvent | null>,
  ): Promise<CoreEvent | null> {
    try {
      const job = jobOf(this.loop.state, jobId);
      invariant(job !== undefined, `job ${jobId} is known`);
      return await work(job, this.pathsOf(job));
    } catch (thrown) {
      const { code, message, details, stack } = toSecateurError(thrown);
      if (code === 'Internal') this.onError(stack);
      return { type: 'effectFailed', job: jobId, effect, failure: { code, message, details } };
    }
  }

  /** A task that cannot even be described (its statistics are gone, say) is a failure of that attempt. */
  private assign(command: Extract<Command, { kind: 'assign' }>): void {
    const { identity, spec, worker } = command;
    const job = jobOf(this.loop.state, identity.job);
    invariant(job !== undefined, `job ${identity.job} is known`);
    taskMessage(job, spec, identity, this.pathsOf(job))
      .then((task) => {
        // Described while the job was cancelled, say: then there is nothing to run.
        if (currentLease(this.loop.state, identity) === undefined) return;
        // Without a stream now, the worker's next registration shows that it never got the task.
        this.workers.assign(worker, task);
      })
      .catch(async (thrown: unknown) => {
        const { code, message, details } = toSecateurError(thrown);
        const failure = { code, message, details, retryable: spec.kind === 'prune' };
        await this.loop.submit({ type: 'taskFailed', worker, identity, failure, holdingsLost: false });
        if (spec.kind === 'prune')
          await this.loop.submit({ type: 'statisticsLost', job: identity.job, layer: spec.layer });
      })
      .catch(this.onError);
  }
}

async function reduceLayer(job: JobState, layer: number, { state }: JobPaths): Promise<CoreEvent | null> {
  const intake = job.intake?.layers[layer];
  const { status, samplesFile } = job.layers[layer] ?? {};
  if (status !== 'reducing') return null;
  invariant(intake !== undefined && samplesFile, `layer ${layer} of job ${job.id} has its samples`);
  const file = await reduceStatistics(state, layer, intake, samplesFile);
  if (file === null) return { type: 'statisticsLost', job: job.id, layer };
  return { type: 'statisticsReduced', job: job.id, layer, file };
}
