/** What stands behind the coordinator's commands in a simulation: the same steps on simulated disks. */
import type { TaskIdentity } from '../../coordinator/core/events.ts';
import type { AssembledShard, JobIntake, JobState, StagedFile } from '../../coordinator/core/state.ts';
import type { TaskSpec } from '../../coordinator/core/task.ts';
import { jobPaths } from '../../coordinator/effects/job-paths.ts';
import type { JobWork } from '../../coordinator/effects/job-work.ts';
import type { StatisticsStore } from '../../coordinator/effects/statistics-store.ts';
import { taskMessage } from '../../coordinator/effects/task-messages.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { Task } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { SimulatedDisk } from './disk.ts';
import { assembled, digestOf, intakeOf, type ModelOptions, OUTPUT, STATE, shardContent, sumOf } from './model.ts';
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

  constructor(settings: WorkSettings) {
    this.settings = settings;
  }

  async intake(job: JobState): Promise<JobIntake> {
    const { process, shared, model } = this.settings;
    await shared.writeAtomic(process, this.paths(job).claim, job.id);
    return intakeOf(model);
  }

  async describeTask(job: JobState, spec: TaskSpec, identity: TaskIdentity): Promise<Task> {
    const sums = spec.kind === 'prune' ? job.layers[spec.layer]?.statisticsFile : null;
    const statistics = new Map<string, Uint8Array>();
    if (sums) statistics.set('x', Buffer.from(await this.readLocal(job, sums)));
    return taskMessage(job, spec, identity, this.paths(job), statistics);
  }

  async store(job: string, layer: number, samples: readonly Uint8Array[]): Promise<StagedFile> {
    const name = `statistics/${layer}.samples`;
    return this.writeLocal(job, name, samples.map((sample) => Buffer.from(sample).toString()).join('\n'));
  }

  async reduce(job: JobState, layer: number): Promise<StagedFile | null> {
    const file = job.layers[layer]?.samplesFile as StagedFile;
    try {
      const samples = (await this.readLocal(job, file)).split('\n');
      return await this.writeLocal(job.id, `statistics/${layer}`, sumOf(layer, samples));
    } catch (thrown) {
      if (thrown instanceof SecateurError || (thrown as NodeJS.ErrnoException).code === 'ENOENT') return null;
      throw thrown;
    }
  }

  dropSamples(job: JobState, layer: number): Promise<void> {
    const { process, local } = this.settings;
    return local.remove(process, `${this.paths(job).state}/statistics/${layer}.samples`);
  }

  async assembleShard(job: JobState, shard: number): Promise<AssembledShard> {
    const { process, shared } = this.settings;
    const plan = job.plan?.outputShards[shard];
    if (plan === undefined) throw new Error(`no shard ${shard}`);
    const layers = new Map<number, string>();
    for (const [layer, { file }] of job.layers.entries()) {
      if (!plan.tensors.includes(`l${layer}.w`)) continue;
      const content = await shared.readFile(process, `${this.paths(job).staging}/${file?.name}`);
      if (digestOf(content) !== file?.sha256) throw new SecateurError('ChecksumMismatch', `layer ${layer} changed`);
      layers.set(layer, content);
    }
    const content = shardContent(plan.tensors, (layer) => layers.get(layer) as string);
    await shared.writeAtomic(process, `${this.paths(job).publish}/${plan.file}`, content);
    return assembled(plan.file, content);
  }

  /** Each file that is not in its place yet is moved there: may be repeated after a crash at any step. */
  async publish(job: JobState): Promise<readonly AssembledShard[]> {
    const { process, shared } = this.settings;
    for (const { file } of job.assembled) {
      const from = `${this.paths(job).publish}/${file}`;
      const isMoved = shared.peek(from) === undefined && shared.peek(`${OUTPUT}/${file}`) !== undefined;
      if (!isMoved) await shared.rename(process, from, `${OUTPUT}/${file}`);
    }
    await shared.syncDirectory(process, OUTPUT);
    return job.assembled;
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
