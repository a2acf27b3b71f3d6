/**
 * Carries the core's commands out. Each runs on its own; what comes of it goes back to the loop as an event. Every
 * command may be carried out twice (a restart repeats those that were under way).
 */

import { invariant, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { locationToPath } from '../../shared/manifest/resolve-locations.ts';
import type { Task } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { taskMessage } from '../api/task-messages.ts';
import { assembleShard } from '../assembly/assemble-shard.ts';
import { publishCheckpoint } from '../assembly/publish.ts';
import type { Command } from '../core/events.ts';
import type { JobState } from '../core/state.ts';
import type { CommandRunner, CoordinatorLoop } from '../loop.ts';
import { claimOutput } from './claim-output.ts';
import { type JobPaths, jobPaths } from './job-paths.ts';
import { readIntake } from './read-intake.ts';
import { dropSamples, reduceStatistics } from './statistics.ts';

export interface WorkerDelivery {
  assign(worker: string, task: Task): boolean;
  deliver(command: Extract<Command, { kind: 'abort' | 'releaseJob' }>): void;
}

export class Effects implements CommandRunner {
  private readonly loop: CoordinatorLoop;
  private readonly stateDirectory: string;
  private readonly workers: WorkerDelivery;
  private readonly onError: (thrown: unknown) => void;
  /** One intake, one shard, one publication of a job at a time, also when a command comes twice. */
  private readonly underWay = new Set<string>();

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
        return this.effect(command.job, 'intake', (job) => this.intake(job));
      case 'reduceStatistics':
        return this.effect(command.job, `reduce-${command.layer}`, (job) => this.reduce(job, command.layer));
      case 'assembleShard':
        return this.effect(command.job, 'assembly', async (job, paths) => {
          const file = await assembleShard(job, command.shard, paths);
          return () => this.loop.submit({ type: 'shardAssembled', job: job.id, shard: command.shard, file });
        });
      case 'publishCheckpoint':
        return this.effect(command.job, 'publish', async (job, paths) => {
          const files = await publishCheckpoint(job, paths, Date.now());
          return () => this.loop.submit({ type: 'checkpointPublished', job: job.id, files });
        });
    }
  }

  pathsOf(job: JobState): JobPaths {
    return jobPaths(this.stateDirectory, job.id, locationToPath(job.manifest.spec.output.destination));
  }

  /**
   * Runs `work`, then what it returns: the event that says so. The next command of the job may come out of that event,
   * so the work counts as ended before the event is submitted.
   */
  private effect(
    jobId: string,
    name: string,
    work: (job: JobState, paths: JobPaths) => Promise<() => Promise<void>>,
  ): void {
    const key = `${jobId}/${name}`;
    if (this.underWay.has(key)) return;
    this.underWay.add(key);
    const job = this.loop.state.jobs[jobId];
    invariant(job !== undefined, `job ${jobId} is known`);
    work(job, this.pathsOf(job))
      .catch((thrown: unknown) => {
        const { code, message, details, stack } = toSecateurError(thrown);
        if (code === 'Internal') this.onError(stack);
        return () =>
          this.loop.submit({ type: 'effectFailed', job: jobId, effect: name, failure: { code, message, details } });
      })
      .then((tell) => {
        this.underWay.delete(key);
        return tell();
      })
      .catch(this.onError);
  }

  private async intake(job: JobState): Promise<() => Promise<void>> {
    const intake = await readIntake(job.manifest);
    await claimOutput(this.pathsOf(job), job.id);
    return () => this.loop.submit({ type: 'intakeSucceeded', job: job.id, intake });
  }

  private async reduce(job: JobState, layer: number): Promise<() => Promise<void>> {
    const { state } = this.pathsOf(job);
    const intake = job.intake?.layers[layer];
    const samplesFile = job.layers[layer]?.samplesFile;
    invariant(intake !== undefined && samplesFile, `layer ${layer} of job ${job.id} has its samples`);
    const file = await reduceStatistics(state, layer, intake, samplesFile);
    if (file === null) return () => this.loop.submit({ type: 'statisticsLost', job: job.id, layer });
    return async () => {
      await this.loop.submit({ type: 'statisticsReduced', job: job.id, layer, file });
      await dropSamples(state, layer);
    };
  }

  /** A task that cannot even be described (its statistics are gone, say) is a failure of that attempt. */
  private assign(command: Extract<Command, { kind: 'assign' }>): void {
    const { identity, spec, worker } = command;
    const job = this.loop.state.jobs[identity.job];
    invariant(job !== undefined, `job ${identity.job} is known`);
    taskMessage(job, spec, identity, this.pathsOf(job))
      .then((task) => {
        // Described while the job was cancelled, say: then there is nothing to run.
        const lease = this.loop.state.jobs[identity.job]?.leases[identity.task];
        if (lease?.attempt !== identity.attempt || lease.epoch !== identity.epoch) return;
        // Without a stream now, the worker's next registration shows that it never got the task.
        this.workers.assign(worker, task);
      })
      .catch(async (thrown: unknown) => {
        if (spec.kind === 'prune')
          await this.loop.submit({ type: 'statisticsLost', job: identity.job, layer: spec.layer });
        const { code, message, details } = toSecateurError(thrown);
        const failure = { code, message, details, retryable: spec.kind === 'prune' };
        await this.loop.submit({ type: 'taskFailed', worker, identity, failure, holdingsLost: false });
      })
      .catch(this.onError);
  }
}
