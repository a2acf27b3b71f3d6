/** What a worker says came of a task, held against the task: each lie is found out, and the truth passes. */
import { describe, expect, it } from 'vitest';
import { type Asked, checkHeld, checkOutcome } from '../../../coordinator/api/check-outcome.ts';
import type { TaskOutcome } from '../../../coordinator/core/events.ts';
import type { Lease } from '../../../coordinator/core/state.ts';
import type { PassSpec, TaskSpec } from '../../../coordinator/core/task.ts';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { snapshotFileName } from '../../../shared/storage/staging-names.ts';
import { Cluster, fakeManifest } from '../../simulation/cluster.ts';
import { digestOf } from '../../simulation/model.ts';
import { seededRandom } from '../../support/seeded-random.ts';

/** A job of four samples of eight tokens, a microbatch each, whose calibration is known. */
const job = (() => {
  const cluster = new Cluster(3, seededRandom(1), 4);
  cluster.take({ type: 'coordinatorStarted' });
  const manifest = fakeManifest({ propagate: 'pruned', stages: 1 });
  cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
  cluster.attach('w1');
  while (cluster.job.phase !== 'Pruning') cluster.advance();
  return cluster.job;
})();

function asked(spec: TaskSpec, draining = false): Asked {
  const lease: Lease = { task: 'a-task', attempt: 7, epoch: 3, worker: 'w1', spec, leasedMs: 0 };
  return { job, lease, draining };
}

const SUFFIX = 'e3-a7';
const FORWARD: PassSpec = {
  kind: 'pass',
  stage: 0,
  layer: 1,
  weights: 'committed',
  input: 'memory',
  microbatches: [[0, 4]],
  statistics: false,
  hidden: true,
  write: [[1, 3]],
  drop: [[1, 2]],
};
const file = (name: string) => ({ name, sizeBytes: 10, sha256: digestOf(name) });
const snapshot = (microbatch: number, boundary = 2) => ({
  boundary,
  microbatch,
  file: file(snapshotFileName(boundary, microbatch, SUFFIX)),
});
const PASS = {
  kind: 'pass' as const,
  tokens: 32,
  computeMs: 1,
  done: [[0, 4]] as [number, number][],
  snapshots: [snapshot(1), snapshot(2)],
  statistics: null,
};

function whatIsWrong(check: () => void): unknown {
  try {
    check();
    return null;
  } catch (thrown) {
    if (!(thrown instanceof SecateurError) || thrown.code !== 'EngineFailed' || !thrown.retryable) throw thrown;
    return [thrown.details.field, thrown.details.expected, thrown.details.found];
  }
}

describe('the result of a pass', () => {
  const wrong = (change: object, spec: TaskSpec = FORWARD, draining = false): unknown =>
    whatIsWrong(() => checkOutcome(asked(spec, draining), { ...PASS, ...change } as TaskOutcome));

  it('passes where it is what was asked for, also in part', () => {
    expect(wrong({})).toBe(null);
    expect(wrong({ done: [[0, 2]], tokens: 16, snapshots: [snapshot(1)] })).toBe(null);
  });

  it('has microbatches of its task, and some of them unless its worker was asked to leave', () => {
    expect(wrong({ done: [[0, 5]] })).toEqual(['done', 'some of 0-3', '0-4']);
    const nothing = { done: [], tokens: 0, snapshots: [] };
    expect(wrong(nothing)).toEqual(['done', 'some of 0-3', 'none']);
    expect(wrong(nothing, FORWARD, true)).toBe(null);
  });

  it('has written the microbatches that it was to write, and no others', () => {
    expect(wrong({ snapshots: [snapshot(1)] })).toEqual(['snapshots', '1-2', '1']);
    expect(wrong({ snapshots: [snapshot(1), snapshot(2), snapshot(3)] })).toEqual(['snapshots', '1-2', '1-3']);
  });

  it('is that of a pass', () => {
    expect(whatIsWrong(() => checkOutcome(asked({ kind: 'digestSource', shard: 'x' }), PASS))).toEqual([
      'its kind',
      'digestSource',
      'pass',
    ]);
  });
});

describe('hidden states that a pass leaves in memory', () => {
  const held = (microbatches: [number, number][]) => [{ boundary: 2, microbatches }];

  it('may be gone once, not twice in a row', () => {
    expect(checkHeld(asked(FORWARD), PASS, [], 0)).toBe(1);
    expect(whatIsWrong(() => checkHeld(asked(FORWARD), PASS, held([[0, 1]]), 1))).toEqual([
      'holdings at boundary 2',
      '0-3~3',
      '2-3 lacking',
    ]);
  });

  it('are counted anew once they were there: those that it wrote and gave up need not be', () => {
    const all: [number, number][] = [
      [0, 1],
      [2, 4],
    ];
    expect(checkHeld(asked(FORWARD), PASS, held(all), 1)).toBe(0);
  });

  it('do not matter where the pass brings statistics, or leaves nothing', () => {
    expect(checkHeld(asked({ ...FORWARD, statistics: true }), PASS, [], 1)).toBe(1);
    expect(checkHeld(asked({ ...FORWARD, drop: [[0, 4]] }), PASS, [], 1)).toBe(1);
  });
});

describe('a hand-over', () => {
  it('that wrote nothing is no success', () => {
    const spec = { kind: 'handOver' as const, stage: 0, boundary: 2, microbatches: [[0, 2]] as [number, number][] };
    expect(whatIsWrong(() => checkOutcome(asked(spec), { kind: 'handOver', snapshots: [] }))).toEqual([
      'snapshots',
      '0-1',
      'none',
    ]);
  });
});

describe('windows of a text', () => {
  it('that were asked for come, unless the worker was asked to leave', () => {
    const windows: [number, number][] = [[0, 2]];
    const spec = { kind: 'evaluate' as const, text: 0, weights: 'source' as const, windows };
    const nothing = { kind: 'evaluate' as const, done: [], nll: [], tokens: 0, computeMs: 0 };
    expect(whatIsWrong(() => checkOutcome(asked(spec), nothing))).toEqual(['done', 'some of 0-1', 'none']);
    expect(whatIsWrong(() => checkOutcome(asked(spec, true), nothing))).toBe(null);
  });
});
