/** What a run really took, in the words of its prediction (core/state.ts): `secateur.json` sets one against the other. */
import type { JobState, Prediction } from '../core/state.ts';

/** Of the prediction, what can be measured from the coordinator's place. */
export interface Measurement extends Pick<Prediction, 'totalMs' | 'computeMs' | 'pruneMs' | 'bytesWritten'> {
  /** Tokens through layers, computed once more because they were lost: no prediction has any. */
  readonly tokensRedone: number;
}

/** From the first start to the publishing; what a run stood still between an interruption and its resume counts too. */
export function measurementOf(job: JobState, publishedMs: number): Measurement {
  const committed = job.layers.flatMap((layer) => (layer.file === null ? [] : [layer.file]));
  // A shard that is one layer is a second name for the same bytes.
  const linked = new Set(committed.map((file) => file.sha256));
  const copied = job.assembled.filter((shard) => !linked.has(shard.sha256));
  return {
    totalMs: publishedMs - (job.startedMs ?? job.submittedMs),
    computeMs: job.computeMs,
    pruneMs: job.layers.reduce((sum, layer) => sum + layer.pruneMs + layer.commitMs, 0),
    bytesWritten: [...committed, ...copied].reduce((sum, file) => sum + file.sizeBytes, 0),
    tokensRedone: job.workRedone,
  };
}
