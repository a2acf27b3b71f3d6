/**
 * How the work is laid out over workers does not change a byte: their number, stages and replicas, the microbatch, threads,
 * and whether files are used in place or come through the coordinator.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { TOKENS } from '../support/golden-tokens.ts';
import { flawsOf } from '../support/job-flaws.ts';
import { digestTree } from '../support/secateur-process.ts';
import { SupervisedCluster } from '../support/supervised-cluster.ts';

/** Of each kind one, so that every job from the second worker on mixes them. */
const WORKERS: readonly (readonly string[])[] = [
  ['--threads', '1', '--storage', 'direct'],
  ['--threads', '2', '--storage', 'coordinator'],
  ['--threads', '2', '--storage', 'direct'],
  ['--threads', '1', '--storage', 'coordinator'],
  ['--threads', '1', '--storage', 'auto'],
];

interface Placement {
  readonly workers: number;
  readonly microbatch: number;
  readonly stages: number;
  readonly replicas: number;
  readonly snapshotInterval?: number;
}

/** By the number of workers, which only grows. */
const PLACEMENTS: readonly Placement[] = [
  { workers: 1, microbatch: 4, stages: 1, replicas: 1 },
  { workers: 1, microbatch: 1, stages: 1, replicas: 1 },
  { workers: 2, microbatch: 1, stages: 2, replicas: 1 },
  { workers: 2, microbatch: 4, stages: 1, replicas: 2 },
  { workers: 3, microbatch: 1, stages: 1, replicas: 3, snapshotInterval: 1 },
  { workers: 3, microbatch: 4, stages: 1, replicas: 3 },
  { workers: 3, microbatch: 4, stages: 3, replicas: 1 },
  { workers: 4, microbatch: 1, stages: 2, replicas: 2 },
  { workers: 4, microbatch: 4, stages: 2, replicas: 2, snapshotInterval: 1 },
  { workers: 5, microbatch: 1, stages: 1, replicas: 5 },
  { workers: 5, microbatch: 4, stages: 4, replicas: 1 },
];

describe.each(['pruned', 'dense'])('one digest with propagate: %s', (propagate) => {
  let cluster: SupervisedCluster;
  let quiet: Record<string, string>;
  const pruning = { method: 'wanda', sparsity: 0.5, propagate };

  async function haveWorkers(count: number): Promise<void> {
    for (let index = cluster.workers.size; index < count; index++) {
      await cluster.addWorkers({ [`w${index + 1}`]: WORKERS[index] as string[] });
    }
    await cluster.settle();
  }

  beforeAll(async () => {
    cluster = await SupervisedCluster.start();
    await haveWorkers(1);
    const run = await cluster.run({ pruning, calibration: { tokens: TOKENS } });
    expect(run.job.phase, run.job.message).toBe('Succeeded');
    quiet = digestTree(run.output);
  });
  afterAll(() => cluster?.[Symbol.asyncDispose]());

  const placements = PLACEMENTS.filter((_, index) => propagate === 'pruned' || index % 3 === 1);
  for (const { workers, microbatch, ...placement } of placements) {
    const { stages, replicas } = placement;
    it(`${stages} stages x ${replicas} replicas, ${workers} workers, microbatch ${microbatch}`, async () => {
      await haveWorkers(workers);
      const run = await cluster.run({ pruning, calibration: { tokens: TOKENS, microbatch }, placement });
      expect(flawsOf(run, quiet)).toEqual([]);
      const assigned = run.told.filter((event) => event.type === 'secateur.stage.assigned.v1');
      for (let stage = 0; stage < stages; stage++) {
        const served = assigned.filter(({ data }) => data.stage === stage).map(({ data }) => data.worker);
        // Nobody leaves, so nobody is exchanged, and each is told once.
        expect([served.length, new Set(served).size], `replicas of stage ${stage}`).toEqual([replicas, replicas]);
      }
    });
  }
});
