/** What a worker says came of a task, held against the task: each lie is found out, and the truth passes. */
import { describe, expect, it } from 'vitest';
import { type Asked, checkHeld, checkOutcome, checkSnapshot } from '../../../coordinator/api/check-outcome.ts';
import type { TaskOutcome } from '../../../coordinator/core/events.ts';
import type { JobIntake, JobState, Lease } from '../../../coordinator/core/state.ts';
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
  spent: { computeMs: 1, loadMs: 1, snapshotMs: 1, bytesRead: 1, peakResidentBytes: 1 },
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

  it('has computed as many tokens as its microbatches have, in a time that gives a speed', () => {
    expect(wrong({ tokens: 33 })).toEqual(['tokens', '32', '33']);
    for (const computeMs of [Number.NaN, -1, Number.POSITIVE_INFINITY, 1e-320]) {
      expect(wrong({ spent: { ...PASS.spent, computeMs } })).toEqual([
        'computeMs',
        'a time in milliseconds',
        String(computeMs),
      ]);
    }
  });

  it('names its snapshots by its own lease, at its own boundary', () => {
    const other = { ...snapshot(2), file: file('snapshots/00002/m00002-e3-a6.safetensors') };
    const name = 'snapshots/00002/m00002-e3-a7.safetensors';
    expect(wrong({ snapshots: [snapshot(1), other] })).toEqual(['snapshot.file.name', name, other.file.name]);
    expect(wrong({ snapshots: [snapshot(1), snapshot(2, 999)] })).toEqual(['snapshot.boundary', '2', '999']);
    expect(wrong({ snapshots: [snapshot(1), snapshot(2), snapshot(2)] })).toEqual(['snapshots', '2', '3']);
  });
});

describe('a snapshot that is told while its pass runs', () => {
  it('is one that the task was to write', () => {
    const wrong = (spec: TaskSpec, microbatch: number): unknown =>
      whatIsWrong(() => checkSnapshot(asked(spec), snapshot(microbatch)));
    expect(wrong(FORWARD, 1)).toBe(null);
    expect(wrong(FORWARD, 4_294_967_295)).toEqual(['snapshot.microbatch', 'of 1-2', '4294967295']);
    expect(wrong({ kind: 'prune', stage: 0, layer: 1 }, 1)).toEqual(['snapshot.microbatch', 'none', '1']);
  });
});

describe('calibration data', () => {
  const name = 'calibration/ids-e3-a7.safetensors';
  const TRUE = { inputDigests: [digestOf('a.txt')], samples: 4, sequenceLength: 8, file: file(name) };
  const wrong = (change: object): unknown =>
    whatIsWrong(() =>
      checkOutcome(asked({ kind: 'prepareCalibration' }), {
        kind: 'prepareCalibration',
        calibration: { ...TRUE, ...change },
      }),
    );

  it('has as many windows as the manifest asks for', () => {
    expect(wrong({})).toBe(null);
    expect(wrong({ samples: 0 })).toEqual(['samples', '4', '0']);
    expect(wrong({ samples: 4_000_000_000 })).toEqual(['samples', '4', '4000000000']);
    expect(wrong({ sequenceLength: 9 })).toEqual(['sequenceLength', '8', '9']);
  });

  it('of given ids has as many as their header says', () => {
    const spec = { ...job.manifest.spec, calibration: { tokens: 'file:///ids' } };
    const intake = { ...(job.intake as JobIntake), givenTokens: { samples: 2, sequenceLength: 5 } };
    const given = { ...job, manifest: { ...job.manifest, spec }, intake } as JobState;
    const { lease } = asked({ kind: 'prepareCalibration' });
    const calibration = { ...TRUE, samples: 2, sequenceLength: 5 };
    const check = (change: object) => () =>
      checkOutcome(
        { job: given, lease, draining: false },
        { kind: 'prepareCalibration', calibration: { ...calibration, ...change } },
      );
    expect(whatIsWrong(check({}))).toBe(null);
    expect(whatIsWrong(check({ samples: 3 }))).toEqual(['samples', '2', '3']);
  });

  it('is in the lease’s own file, with a size and a digest, and so are its inputs', () => {
    expect(wrong({ file: file('../../../evil') })).toEqual(['file.name', name, '../../../evil']);
    expect(wrong({ file: { ...TRUE.file, sizeBytes: 0 } })).toEqual(['file.sizeBytes', 'a size in bytes', '0']);
    expect(wrong({ file: { ...TRUE.file, sha256: 'A'.repeat(64) } })).toEqual([
      'file.sha256',
      'a SHA-256 in hex',
      'A'.repeat(64),
    ]);
    expect(wrong({ inputDigests: [] })).toEqual(['inputs', '1', '0']);
    expect(wrong({ inputDigests: ['x'] })).toEqual(['inputs[0].sha256', 'a SHA-256 in hex', 'x']);
  });
});

describe('a pruned layer', () => {
  const name = 'layers/00001-e3-a7.safetensors';
  const tensor = { name: 'l1.w', elements: 10, zeros: 5, pruned: true };
  const TRUE = { kind: 'prune' as const, file: file(name), tensors: [tensor], pruneMs: 1, commitMs: 1 };
  const wrong = (change: object): unknown =>
    whatIsWrong(() => checkOutcome(asked({ kind: 'prune', stage: 0, layer: 1 }), { ...TRUE, ...change }));

  it('is in the lease’s own file', () => {
    expect(wrong({})).toBe(null);
    const evil = '../../../../../etc/hostname';
    expect(wrong({ file: file(evil) })).toEqual(['file.name', name, evil]);
  });

  it('has the tensors of the layer, as large as they are, and no more zeros than elements', () => {
    expect(wrong({ tensors: [] })).toEqual(['tensors', '1', '0']);
    expect(wrong({ tensors: [{ ...tensor, name: 'x' }] })).toEqual(['tensors[0].name', 'l1.w', 'x']);
    expect(wrong({ tensors: [{ ...tensor, elements: 5 }] })).toEqual(['tensors[0].elements', '10', '5']);
    expect(wrong({ tensors: [{ ...tensor, zeros: 99 }] })).toEqual(['tensors[0].zeros', '0 to 10', '99']);
    expect(wrong({ tensors: [{ ...tensor, pruned: false }] })).toEqual(['tensors[0].pruned', 'true', 'false']);
    expect(wrong({ pruneMs: Number.NaN })).toEqual(['pruneMs', 'a time in milliseconds', 'NaN']);
  });
});

describe('the digest of a shard', () => {
  it('is a digest', () => {
    const spec = { kind: 'digestSource' as const, shard: 'a.safetensors' };
    const wrong = (sha256: string): unknown =>
      whatIsWrong(() => checkOutcome(asked(spec), { kind: 'digestSource', sha256 }));
    expect(wrong(digestOf('a'))).toBe(null);
    expect(wrong('')).toEqual(['file.sha256', 'a SHA-256 in hex', 'none']);
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

describe('the ids of a text', () => {
  const { job: plain } = asked({ kind: 'prepareCalibration' });
  const evaluation = { text: ['file:///t'], sequenceLength: 8, windows: 5, outputError: false };
  const evaluated = { ...plain, manifest: { ...plain.manifest, spec: { ...plain.manifest.spec, evaluation } } };
  const spec = { kind: 'prepareEvaluation' as const, text: 0 };
  const TRUE = {
    kind: 'prepareEvaluation' as const,
    ids: file('evaluation/00000-e3-a7.safetensors'),
    inputDigest: digestOf('t'),
    windows: 5,
    sequenceLength: 8,
  };
  const wrong = (change: object): unknown =>
    whatIsWrong(() => checkOutcome({ ...asked(spec), job: evaluated as JobState }, { ...TRUE, ...change }));

  it('are as many as asked for or fewer, in the lease’s own file', () => {
    expect([wrong({}), wrong({ windows: 1 })]).toEqual([null, null]);
    expect(wrong({ windows: 0 })).toEqual(['windows', '1 to 5', '0']);
    expect(wrong({ windows: 6 })).toEqual(['windows', '1 to 5', '6']);
    expect(wrong({ sequenceLength: 7 })).toEqual(['sequenceLength', '8', '7']);
    expect(wrong({ ids: file('x') })).toEqual(['file.name', 'evaluation/00000-e3-a7.safetensors', 'x']);
    expect(wrong({ inputDigest: '' })).toEqual(['input.sha256', 'a SHA-256 in hex', 'none']);
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
