/** The work behind the core's commands: files are read, added up, assembled and moved here, and nowhere else. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { invariant } from '../../shared/errors/secateur-error.ts';
import { destinationPath } from '../../shared/manifest/resolve-locations.ts';
import type { Task } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { checkFileName } from '../../shared/storage/file-ref.ts';
import { VerifiedFiles } from '../../shared/storage/verified-files.ts';
import { assembleShard } from '../assembly/assemble-shard.ts';
import { type Published, publishCheckpoint } from '../assembly/publish.ts';
import type { TaskIdentity } from '../core/events.ts';
import type { AssembledShard, JobIntake, JobState, KeptWork, ReusedCopies, StagedFile } from '../core/state.ts';
import { needsSums, type TaskSpec } from '../core/task.ts';
import { claimOutput } from './claim-output.ts';
import { type JobPaths, jobPaths } from './job-paths.ts';
import { copyKept, dropKept, keepFiles } from './kept-files.ts';
import { readIntake } from './read-intake.ts';
import { checkShardUntouched, digestTouched } from './source-drift.ts';
import { dropSamples, loadSums, reduceStatistics } from './statistics.ts';
import { taskMessage } from './task-messages.ts';

/** Each may be asked for twice: a restart repeats what was under way. */
export interface JobWork {
  /** Reads the inputs and makes the output the job's own. */
  intake(job: JobState): Promise<JobIntake>;
  /** Copies what an earlier job kept to where this one has such files; null where anything is not there any more. */
  copyKept(job: JobState, earlier: JobState, kept: KeptWork): Promise<ReusedCopies | null>;
  /** What a job kept for later ones, or of that only the Hessians. */
  dropKept(job: JobState, only?: 'hessians'): Promise<void>;
  describeTask(job: JobState, spec: TaskSpec, identity: TaskIdentity): Promise<Task>;
  /** Adds a layer's statistics up; null when the stored samples are missing or not what was stored. */
  reduce(job: JobState, layer: number): Promise<StagedFile | null>;
  /** Called when the sums are in the journal. */
  dropSamples(job: JobState, layer: number): Promise<void>;
  /** Staged files that nobody will ask for again. */
  removeStaged(job: JobState, names: readonly string[]): Promise<void>;
  assembleShard(job: JobState, shard: number): Promise<AssembledShard>;
  publish(job: JobState): Promise<Published>;
}

export class FileJobWork implements JobWork {
  private readonly stateDirectory: string;
  private readonly verified = new VerifiedFiles();

  constructor(stateDirectory: string) {
    this.stateDirectory = stateDirectory;
  }

  pathsOf(job: JobState): JobPaths {
    return jobPaths(this.stateDirectory, job.id, destinationPath(job.manifest.spec.output.destination));
  }

  async intake(job: JobState): Promise<JobIntake> {
    const intake = await digestTouched(job, await readIntake(job.manifest));
    await claimOutput(this.pathsOf(job), job.id, job.calibration !== null);
    return intake;
  }

  copyKept(job: JobState, earlier: JobState, kept: KeptWork): Promise<ReusedCopies | null> {
    return copyKept(job, this.pathsOf(job), earlier, this.pathsOf(earlier), kept);
  }

  dropKept(job: JobState, only?: 'hessians'): Promise<void> {
    return dropKept(this.pathsOf(job), only);
  }

  async describeTask(job: JobState, spec: TaskSpec, identity: TaskIdentity): Promise<Task> {
    if (spec.kind === 'digestSource' && job.intake !== null) await checkShardUntouched(job.intake, spec.shard);
    const paths = this.pathsOf(job);
    const file = needsSums(spec) ? job.layers[spec.layer]?.statisticsFile : null;
    const sums = file ? await loadSums(paths.state, file) : new Map<string, Uint8Array>();
    return taskMessage(job, spec, identity, paths, sums);
  }

  async reduce(job: JobState, layer: number): Promise<StagedFile | null> {
    const intake = job.intake?.layers[layer];
    const parts = job.layers[layer]?.parts;
    const { calibration, plan } = job;
    invariant(intake !== undefined && parts && calibration && plan, `layer ${layer} of job ${job.id} has its samples`);
    const samples = { parts, microbatch: plan.microbatch, count: calibration.samples };
    return reduceStatistics(this.pathsOf(job).state, layer, intake, samples);
  }

  dropSamples(job: JobState, layer: number): Promise<void> {
    return dropSamples(this.pathsOf(job).state, layer);
  }

  async removeStaged(job: JobState, names: readonly string[]): Promise<void> {
    const { staging } = this.pathsOf(job);
    for (const name of names) await rm(join(staging, checkFileName(name)), { force: true });
  }

  assembleShard(job: JobState, shard: number): Promise<AssembledShard> {
    return assembleShard(job, shard, this.pathsOf(job), this.verified);
  }

  async publish(job: JobState): Promise<Published> {
    // Before the staging folder goes.
    if (job.isReusable === true) await keepFiles(job, this.pathsOf(job));
    return publishCheckpoint(job, this.pathsOf(job), Date.now(), this.verified);
  }
}
