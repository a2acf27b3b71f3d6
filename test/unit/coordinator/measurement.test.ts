/** What a run took, in the words of its prediction. */
import { describe, expect, it } from 'vitest';
import { measurementOf } from '../../../coordinator/core/measurement.ts';
import type { JobState } from '../../../coordinator/core/state.ts';

const layer = (sha256: string) => ({ pruneMs: 10, commitMs: 5, file: { name: sha256, sizeBytes: 100, sha256 } });

describe('the measurement of a run', () => {
  it('adds up what its passes and layers took, and counts the bytes of a linked shard once', () => {
    const job = {
      submittedMs: 1_000,
      startedMs: 2_000,
      spent: {
        computeMs: 300,
        evaluateMs: 90,
        loadMs: 40,
        snapshotMs: 7,
        bytesRead: 1_000,
        bytesWritten: 50,
        workerMemoryBytes: 4_096,
      },
      intake: { shards: [{ sizeBytes: 400 }] },
      workRedone: 64,
      layers: [layer('a'), layer('b')],
      assembled: [
        { file: 'model-00001', sizeBytes: 100, sha256: 'a' },
        { file: 'model-00002', sizeBytes: 130, sha256: 'copied' },
      ],
    } as unknown as JobState;
    expect(measurementOf(job, 5_000)).toEqual({
      totalMs: 3_000,
      computeMs: 300,
      loadMs: 40,
      pruneMs: 30,
      snapshotMs: 7,
      bytesRead: 1_000 + 200 + 400 + 130,
      bytesWritten: 50 + 200 + 130,
      workerMemoryBytes: 4_096,
      tokensRedone: 64,
      evaluateMs: 90,
    });
  });
});
