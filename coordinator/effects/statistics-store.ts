/** Where the statistics of a layer's samples go when a worker has sent them all. */
import type { StagedFile } from '../core/state.ts';
import { storeSamples } from './statistics.ts';

export interface StatisticsStore {
  /** Durable when it resolves. `samples` holds one buffer a sample, in order. */
  store(job: string, layer: number, samples: readonly Uint8Array[]): Promise<StagedFile>;
}

/** In files of the job's folder in the state directory. */
export function fileStatistics(stateFolderOf: (job: string) => string): StatisticsStore {
  return { store: (job, layer, samples) => storeSamples(stateFolderOf(job), layer, samples) };
}
