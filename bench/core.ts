/**
 * How many steps a second the core makes: the events of a whole job with imagined workers (test/simulation/cluster.ts)
 * are recorded, then replayed, and only the replay is timed. What a coordinator does besides (journal, gRPC) is in
 * bench/scale.ts.
 *
 *   npx node bench/core.ts [--workers 64,1000] [--layers 80] [--microbatches 128] [--propagate pruned|dense] [--json]
 *
 * Where there are fewer microbatches than workers, each worker has one.
 */
import { cpus } from 'node:os';
import { parseArgs } from 'node:util';
import { INITIAL_STATE } from '../coordinator/core/state.ts';
import { step } from '../coordinator/core/step.ts';
import { Cluster, fakeManifest } from '../test/simulation/cluster.ts';
import { seededRandom } from '../test/support/seeded-random.ts';

const SEED = 1;

interface Shape {
  readonly workers: number;
  readonly layers: number;
  readonly microbatches: number;
  readonly propagate: 'pruned' | 'dense';
}

/** A job from its submission to its end, undisturbed. */
function record({ workers, layers, microbatches, propagate }: Shape): Cluster['journal'] {
  const cluster = new Cluster(layers, seededRandom(SEED), microbatches);
  cluster.take({ type: 'coordinatorStarted' });
  for (let index = 0; index < workers; index++) cluster.attach(`w${String(index).padStart(4, '0')}`);
  const manifest = fakeManifest({ propagate, stages: 1, samples: microbatches });
  cluster.take({ type: 'jobSubmitted', job: 'fake-1', namespace: 'default', name: 'fake', manifest });
  cluster.settle(Number.POSITIVE_INFINITY);
  return cluster.journal;
}

function replay(journal: Cluster['journal']): { steps: number; stepsPerSecond: number; slowestMs: number } {
  let state = INITIAL_STATE;
  let slowestMs = 0;
  const begunMs = performance.now();
  for (const { event, atMs } of journal) {
    const stepBegunMs = performance.now();
    state = step(state, event, atMs).state;
    slowestMs = Math.max(slowestMs, performance.now() - stepBegunMs);
  }
  const seconds = (performance.now() - begunMs) / 1000;
  return { steps: journal.length, stepsPerSecond: journal.length / seconds, slowestMs };
}

const { values } = parseArgs({
  options: {
    workers: { type: 'string', default: '64,1000' },
    layers: { type: 'string', default: '80' },
    microbatches: { type: 'string', default: '128' },
    propagate: { type: 'string', default: 'pruned' },
    json: { type: 'boolean', default: false },
  },
});
const results = values.workers.split(',').map((count) => {
  const workers = Number(count);
  const shape: Shape = {
    workers,
    layers: Number(values.layers),
    microbatches: Math.max(Number(values.microbatches), workers),
    propagate: values.propagate === 'dense' ? 'dense' : 'pruned',
  };
  return { ...shape, ...replay(record(shape)) };
});
if (values.json) {
  console.log(JSON.stringify({ benchmark: 'core', cpu: cpus()[0]?.model.trim() ?? 'unknown', results }));
} else {
  for (const { workers, layers, microbatches, propagate, steps, stepsPerSecond, slowestMs } of results) {
    const shape = `${workers} workers, ${layers} layers, ${microbatches} microbatches, ${propagate}`;
    console.log(
      `${shape}: ${steps} steps, ${Math.round(stepsPerSecond)} a second, the slowest ${slowestMs.toFixed(1)} ms`,
    );
  }
}
