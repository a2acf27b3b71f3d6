/** Where a job's files stand: the only place that knows the folder layout under the output and the state folder. */
import { dirname, join } from 'node:path';
import { fiveDigits, type LeaseNumbers, leaseSuffix } from '../../shared/storage/staging-names.ts';
import { jobFolder, logsFolder } from '../state-folder.ts';

export const STAGING_FOLDER = '.secateur';
const KEPT_FOLDER = '.secateur-kept';

/** What a destination holds, whichever job it belongs to. */
export interface OutputPaths {
  readonly output: string;
  /** <output>/.secateur: all that workers write. Removed when the job is published. */
  readonly staging: string;
  /** Names the job that the output belongs to. */
  readonly claim: string;
  /** Finished files that wait to be moved into their place together. */
  readonly publish: string;
  /** What is to be moved, frozen before the first move. */
  readonly publishList: string;
}

export interface JobPaths extends OutputPaths {
  /** In the coordinator's state folder: statistics and logs. */
  readonly state: string;
  readonly logs: string;
  /** In the state folder as well: token ids and windows of a job that later ones may take over. */
  readonly kept: string;
  /** Beside the output, on its file system: what of it is too large for a copy (Hessians) has another name there. */
  readonly keptLinks: string;
}

export function outputPaths(outputDirectory: string): OutputPaths {
  const staging = join(outputDirectory, STAGING_FOLDER);
  return {
    output: outputDirectory,
    staging,
    claim: join(staging, 'job.json'),
    publish: join(staging, 'publish'),
    publishList: join(staging, 'publish.json'),
  };
}

export function jobPaths(stateDirectory: string, job: string, outputDirectory: string): JobPaths {
  const state = jobFolder(stateDirectory, job);
  return {
    ...outputPaths(outputDirectory),
    state,
    logs: logsFolder(stateDirectory, job),
    kept: join(state, 'kept'),
    keptLinks: join(dirname(outputDirectory), KEPT_FOLDER, job),
  };
}

export const PROBE_FILE_NAME = 'probe.txt';

/** Relative to the job's state folder: [samples, D] float32 of one lease, as its worker sent them. */
export function samplesFileName(layer: number, lease: LeaseNumbers, count: number): string {
  return `${samplesPrefix(layer)}${leaseSuffix(lease)}-${count}.samples.f32`;
}

/** What every samples file of a layer begins with. */
export function samplesPrefix(layer: number): string {
  return `statistics/${fiveDigits(layer)}-`;
}

/** Relative to the job's state folder: one float64 tensor a statistic. */
export function sumsFileName(layer: number): string {
  return `statistics/${fiveDigits(layer)}.safetensors`;
}
