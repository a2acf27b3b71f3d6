/** What stands behind the coordinator's commands in a simulation: the same steps on simulated disks. */
import { type Asked, misfit } from '../../coordinator/api/check-outcome.ts';
import { stagedBy } from '../../coordinator/api/check-staged.ts';
import type { Published } from '../../coordinator/assembly/publish.ts';
import type { TaskIdentity, TaskOutcome } from '../../coordinator/core/events.ts';
import type { AssembledShard, JobIntake, JobState, StagedFile } from '../../coordinator/core/state.ts';
import { needsSums, type TaskSpec } from '../../coordinator/core/task.ts';
import { jobPaths, samplesFileName, samplesPrefix, sumsFileName } from '../../coordinator/effects/job-paths.ts';
import type { JobWork } from '../../coordinator/effects/job-work.ts';
import type { StatisticsSink, StatisticsStore } from '../../coordinator/effects/statistics-store.ts';
import { taskMessage } from '../../coordinator/effects/task-messages.ts';
import type { DiskFile } from '../../coordinator/journal/disk.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { membersOf } from '../../shared/microbatch-set.ts';
import type { Task } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import { readStaged, type SimulatedDisk } from './disk.ts';
import {
  assembled,
  digestOf,
  intakeOf,
  type ModelOptions,
  OUTPUT,
  STATE,
  STATISTIC_BYTES,
  shardContent,
  sumOf,
} from './model.ts';
import type { Breakage } from './mutants.ts';
import type { SimulatedProcess } from './time.ts';

export interface WorkSettings {
  readonly process: SimulatedProcess;
  /** Of the coordinator's machine. */
  readonly local: SimulatedDisk;
  readonly shared: SimulatedDisk;
  readonly model: ModelOptions;
  readonly breakage: Breakage;
}

export class SimulatedWork implements JobWork, StatisticsStore {
  private readonly settings: WorkSettings;
  private sinks = 0;

  constructor(settings: WorkSettings) {
    this.settings = settings;
  }

  async intake(job: JobState): Promise<JobIntake> {
    const { process, shared, model } = this.settings;
    await shared.writeAtomic(process, this.paths(job).claim, job.id);
    return intakeOf(model);
  }

  /** No job of a simulation has an earlier one. */
  async copyKept(): Promise<null> {
    return null;
  }

  async dropKept(): Promise<void> {}

  async describeTask(job: JobState, spec: TaskSpec, identity: TaskIdentity): Promise<Task> {
    const sums = needsSums(spec) ? job.layers[spec.layer]?.statisticsFile : null;
    const statistics = new Map<string, Uint8Array>();
    if (sums) statistics.set('x', Buffer.from(await this.readLocal(job, sums)));
    return taskMessage(job, spec, identity, this.paths(job), statistics);
  }

  begin(identity: TaskIdentity, layer: number): StatisticsSink {
    this.sinks += 1;
    const name = samplesFileName(layer, identity, this.sinks);
    return new SimulatedSink(this.settings, `${STATE}/jobs/${identity.job}`, name);
  }

  /** In the order of the samples, whoever brought them. */
  async reduce(job: JobState, layer: number): Promise<StagedFile | null> {
    const size = job.plan?.microbatch ?? 1;
    const rows: { sample: number; statistic: string }[] = [];
    for (const { microbatches, file } of job.layers[layer]?.parts ?? []) {
      const content = await this.readSamples(job, file);
      if (content === null) return null;
      const samples = [...membersOf(microbatches)].flatMap((microbatch) =>
        Array.from({ length: size }, (_, offset) => microbatch * size + offset),
      );
      for (let row = 0; row * STATISTIC_BYTES < content.length; row++)
        rows.push({
          sample: samples[row] as number,
          statistic: content.slice(row * STATISTIC_BYTES, (row + 1) * STATISTIC_BYTES),
        });
    }
    if (!this.settings.breakage.sumsInAnyOrder) rows.sort((a, b) => a.sample - b.sample);
    const statistics = rows.map((row) => row.statistic);
    return await this.writeLocal(job.id, sumsFileName(layer), sumOf(layer, statistics));
  }

  private async readSamples(job: JobState, file: StagedFile): Promise<string | null> {
    try {
      return await this.readLocal(job, file);
    } catch (thrown) {
      if (thrown instanceof SecateurError || (thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw thrown;
    }
  }

  async dropSamples(job: JobState, layer: number): Promise<void> {
    const { process, local } = this.settings;
    const prefix = `${this.paths(job).state}/${samplesPrefix(layer)}`;
    for (const path of local.paths()) if (path.startsWith(prefix)) await local.remove(process, path);
  }

  async removeStaged(job: JobState, names: readonly string[]): Promise<void> {
    const { process, shared } = this.settings;
    for (const name of names) await shared.remove(process, `${this.paths(job).staging}/${name}`);
  }

  /** @throws EngineFailed where what a worker has committed is not there */
  checkStaged(asked: Asked, outcome: TaskOutcome): void {
    const file = stagedBy(outcome);
    if (file === null) return;
    const found = this.settings.shared.peek(`${this.paths(asked.job).staging}/${file.name}`);
    if (found?.length !== file.sizeBytes) throw misfit(asked, 'file', file.sizeBytes, found?.length ?? 'none');
  }

  async assembleShard(job: JobState, shard: number): Promise<AssembledShard> {
    const { process, shared } = this.settings;
    const plan = job.plan?.outputShards[shard];
    if (plan === undefined) throw new Error(`no shard ${shard}`);
    const layers = new Map<number, string>();
    for (const [layer, { file }] of job.layers.entries()) {
      if (!plan.tensors.includes(`l${layer}.w`)) continue;
      layers.set(layer, await this.readStaged(job, file as StagedFile));
    }
    const content = shardContent(plan.tensors, (layer) => layers.get(layer) as string);
    await shared.writeAtomic(process, `${this.paths(job).publish}/${plan.file}`, content);
    return assembled(plan.file, content);
  }

  private readStaged(job: JobState, file: StagedFile, path = `${this.paths(job).staging}/${file.name}`) {
    const { process, shared, breakage } = this.settings;
    return readStaged(shared, process, path, file, breakage.looksAtNoDigest);
  }

  /**
   * Each file is looked at, then those that are not in their place yet are moved there: may be repeated after a crash at
   * any step.
   */
  async publish(job: JobState): Promise<Published> {
    const { process, shared } = this.settings;
    if (job.calibration !== null) await this.readStaged(job, job.calibration.file);
    for (const { file, sizeBytes, sha256 } of job.assembled) {
      const waits = `${this.paths(job).publish}/${file}`;
      const path = shared.peek(waits) === undefined ? `${OUTPUT}/${file}` : waits;
      await this.readStaged(job, { name: `publish/${file}`, sizeBytes, sha256 }, path);
    }
    for (const { file } of job.assembled) {
      const from = `${this.paths(job).publish}/${file}`;
      const isMoved = shared.peek(from) === undefined && shared.peek(`${OUTPUT}/${file}`) !== undefined;
      if (!isMoved) await shared.rename(process, from, `${OUTPUT}/${file}`);
    }
    await shared.syncDirectory(process, OUTPUT);
    return { files: job.assembled, statisticsMissing: [] };
  }

  private paths(job: JobState) {
    return jobPaths(STATE, job.id, OUTPUT);
  }

  private async writeLocal(job: string, name: string, content: string): Promise<StagedFile> {
    const { process, local } = this.settings;
    await local.writeAtomic(process, `${STATE}/jobs/${job}/${name}`, content);
    return { name, sizeBytes: content.length, sha256: digestOf(content) };
  }

  private async readLocal(job: JobState, file: StagedFile): Promise<string> {
    const { process, local } = this.settings;
    const content = await local.readFile(process, `${this.paths(job).state}/${file.name}`);
    if (digestOf(content) !== file.sha256) throw new SecateurError('ChecksumMismatch', `${file.name} changed`);
    return content;
  }
}

/** As the real one: row by row into a file that counts when it is complete and synced. */
class SimulatedSink implements StatisticsSink {
  private readonly settings: WorkSettings;
  private readonly folder: string;
  private readonly name: string;
  private readonly rows = new Map<number, string>();
  private file: DiskFile | null = null;
  private failure: unknown = null;

  constructor(settings: WorkSettings, folder: string, name: string) {
    this.settings = settings;
    this.folder = folder;
    this.name = name;
  }

  private get path(): string {
    return `${this.folder}/${this.name}`;
  }

  async add(row: number, float32: Uint8Array): Promise<void> {
    if (this.failure !== null) return;
    const { process, local } = this.settings;
    try {
      this.file ??= await local.open(process, this.path, 'readWrite');
      await this.file.write(float32, row * STATISTIC_BYTES);
      this.rows.set(row, Buffer.from(float32).toString());
    } catch (thrown) {
      this.failure = thrown;
    }
  }

  async finish(count: number): Promise<StagedFile | null> {
    if (this.failure !== null) throw this.failure;
    const rows = Array.from({ length: count }, (_, row) => this.rows.get(row));
    if (this.file === null || rows.includes(undefined)) {
      await this.discard();
      return null;
    }
    const { process, local } = this.settings;
    await this.file.truncate(count * STATISTIC_BYTES);
    await this.file.datasync();
    await local.syncDirectory(process, this.path.slice(0, this.path.lastIndexOf('/')));
    return { name: this.name, sizeBytes: count * STATISTIC_BYTES, sha256: digestOf(rows.join('')) };
  }

  async discard(): Promise<void> {
    const { process, local } = this.settings;
    await local.remove(process, this.path);
  }
}
