/** Where a job's files stand: the only place that knows the folder layout under the output and the state folder. */
import { join } from 'node:path';
import { layerName } from '../core/task.ts';

export const STAGING_FOLDER = '.secateur';

export interface JobPaths {
  readonly output: string;
  /** <output>/.secateur: all that workers write. Removed when the job is published. */
  readonly staging: string;
  /** Names the job that the output belongs to. */
  readonly claim: string;
  /** Finished files that wait to be moved into their place together. */
  readonly publish: string;
  /** What is to be moved, frozen before the first move. */
  readonly publishList: string;
  /** In the coordinator's state folder: statistics and logs. */
  readonly state: string;
  readonly logs: string;
}

export function jobPaths(stateDirectory: string, job: string, outputDirectory: string): JobPaths {
  const staging = join(outputDirectory, STAGING_FOLDER);
  const state = join(stateDirectory, 'jobs', job);
  return {
    output: outputDirectory,
    staging,
    claim: join(staging, 'job.json'),
    publish: join(staging, 'publish'),
    publishList: join(staging, 'publish.json'),
    state,
    logs: join(state, 'logs'),
  };
}

/** Relative to the staging folder. */
export function layerFileName(layer: number): string {
  return `layers/${layerName(layer)}.safetensors`;
}

export const CALIBRATION_FILE_NAME = 'calibration.safetensors';
export const PROBE_FILE_NAME = 'probe.txt';

/** Relative to the job's state folder: [samples, D] float32, as the workers sent it. */
export function samplesFileName(layer: number): string {
  return `statistics/${layerName(layer)}.samples.f32`;
}

/** Relative to the job's state folder: one float64 tensor a statistic. */
export function sumsFileName(layer: number): string {
  return `statistics/${layerName(layer)}.safetensors`;
}
