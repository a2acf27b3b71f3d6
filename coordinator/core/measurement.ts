/** What a run really took, in the words of its prediction (state.ts): `secateur.json` and `get` set one against the other. */
import type { JobState, Measurement } from './state.ts';

/** From the first start to the publishing; what a run stood still between an interruption and its resume counts too. */
export function measurementOf(job: JobState, publishedMs: number): Measurement {
  const committed = job.layers.flatMap((layer) => (layer.file === null ? [] : [layer.file]));
  // A shard that is one layer is a second name for the same bytes.
  const linked = new Set(committed.map((file) => file.sha256));
  const copied = sizeOf(job.assembled.filter((shard) => !linked.has(shard.sha256)));
  const source = sizeOf(job.intake?.shards ?? []);
  const { computeMs, evaluateMs, loadMs, snapshotMs, bytesRead, bytesWritten, workerMemoryBytes } = job.spent;
  return {
    totalMs: publishedMs - (job.startedMs ?? job.submittedMs),
    computeMs,
    loadMs,
    pruneMs: job.layers.reduce(
      (sum, { pruneMs, commitMs, outliers }) => sum + pruneMs + commitMs + (outliers?.computeMs ?? 0),
      0,
    ),
    snapshotMs,
    // Each layer is read once more to be pruned, each shard to be digested, and what is copied when it is copied.
    bytesRead: bytesRead + sizeOf(committed) + source + copied,
    bytesWritten: bytesWritten + sizeOf(committed) + copied,
    workerMemoryBytes,
    tokensRedone: job.workRedone,
    evaluateMs,
  };
}

function sizeOf(files: readonly { readonly sizeBytes: number }[]): number {
  return files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
