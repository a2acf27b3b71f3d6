/** Which layer a worker is told to read ahead with a pass: the one that it reads next from the source, if there is one. */
import { describe, expect, it } from 'vitest';
import type { JobState } from '../../../coordinator/core/state.ts';
import type { PassSpec } from '../../../coordinator/core/task.ts';
import { taskMessage } from '../../../coordinator/effects/task-messages.ts';
import { intakeOf } from '../../simulation/model.ts';

const intake = intakeOf({ layers: 4, texts: 0 });
const job = {
  id: 'job-000001',
  manifest: { spec: { pruning: { method: 'wanda' } } },
  intake,
  calibration: { samples: 2, sequenceLength: 8, file: { name: 'ids', sizeBytes: 1, sha256: 'a' } },
  plan: { microbatch: 1 },
  layers: intake.layers.map(() => ({ file: null })),
  stages: [
    { firstLayer: 0, layerCount: 2 },
    { firstLayer: 2, layerCount: 2 },
  ],
  snapshots: [],
} as unknown as JobState;
const identity = { job: job.id, task: 'pass', attempt: 1, epoch: 1 };
const paths = { state: '/s', staging: '/o/.secateur' } as never;

function readAhead(spec: Partial<PassSpec>, of: JobState = job): (string | undefined)[] {
  const pass = {
    ...{ kind: 'pass', stage: 0, layer: 0, weights: 'source', input: 'memory', microbatches: [[0, 2]] },
    ...{ statistics: true, hessian: false, hidden: false, write: [], drop: [], ...spec },
  } as unknown as PassSpec;
  return (taskMessage(of, pass, identity as never, paths, new Map()).pass?.next ?? []).map(({ name }) => name);
}

describe('the layer that a pass names to be read ahead', () => {
  it('is the next of the same stage', () => {
    expect(readAhead({ stage: 0, layer: 0 })).toEqual(['l1.w']);
    expect(readAhead({ stage: 1, layer: 2 })).toEqual(['l3.w']);
  });

  it('is none behind the last of a stage, and none where the pass is on committed weights: the next was named before', () => {
    expect(readAhead({ stage: 0, layer: 1 })).toEqual([]);
    expect(readAhead({ stage: 1, layer: 3 })).toEqual([]);
    expect(readAhead({ stage: 0, layer: 0, weights: 'committed', statistics: false, hidden: true })).toEqual([]);
  });

  it('is none where the source is made rather than read', () => {
    const made = { ...intake, sourceDirectory: 'synthetic:llama-7b' };
    expect(readAhead({ stage: 0, layer: 0 }, { ...job, intake: made })).toEqual([]);
  });
});
