/** The end of a run: its time beside what was predicted. */
import { describe, expect, it } from 'vitest';
import { renderSummary, summarizeRun } from '../../../cli/run/summary.ts';
import type { Provenance } from '../../../cli/verify/provenance-file.ts';

const record = (over: Partial<Provenance>): Provenance =>
  ({
    job: { id: 'job' },
    layers: [],
    totals: { prunedTensors: 0, weights: 0, zeros: 0, sparsity: 0 },
    times: { elapsedMs: 612 },
    ...over,
  }) as unknown as Provenance;

const summary = (over: Partial<Provenance>): string => renderSummary(summarizeRun(record(over), '/out', '/model'));
const parts = (totalMs: number) => ({
  totalMs,
  computeMs: totalMs * 2,
  loadMs: totalMs / 10,
  pruneMs: totalMs / 2,
  snapshotMs: 0,
  bytesRead: totalMs * 1024,
  bytesWritten: totalMs * 512,
  workerMemoryBytes: 2 ** 30,
  tokensRedone: 0,
  evaluateMs: totalMs / 5,
});

describe('the summary of a run', () => {
  it('sets the time against the prediction', () => {
    const text = summary({ prediction: parts(580), measurement: parts(612) });
    expect(text).toMatch(/^time +612 ms \(predicted 580 ms\)$/m);
    expect(text).not.toMatch(/^compute/m);
  });

  it('of a long run has its parts as well, added up over the workers', () => {
    const long = { times: { elapsedMs: 60_000 }, prediction: parts(50_000), measurement: parts(60_000) };
    expect(summary(long)).toMatch(/^compute +2m 00s \(predicted 1m 40s\)$/m);
    expect(summary(long)).toMatch(/^prune +30\.0 s \(predicted 25\.0 s\)$/m);
    expect(summary(long)).toMatch(/^load +6\.0 s \(predicted 5\.0 s\)$/m);
    expect(summary(long)).toMatch(/^read +58\.6 MiB \(predicted 48\.8 MiB\)$/m);
    expect(summary(long)).toMatch(/^evaluate +12\.0 s$/m);
    expect(summary(long)).toMatch(/^memory +1\.00 GiB \(predicted 1\.00 GiB\)$/m);
  });

  it('tells what was lost and computed again', () => {
    const lossy = { ...parts(612), tokensRedone: 8192 };
    expect(summary({ measurement: lossy })).toMatch(/^lost +8 192 tokens through a layer were computed again$/m);
    expect(summary({ measurement: parts(612) })).not.toMatch(/^lost/m);
  });

  it('of a record without prediction has the time alone', () => {
    expect(summary({})).toMatch(/^time +612 ms$/m);
    expect(summary({ prediction: null })).toMatch(/^time +612 ms$/m);
  });
});
