/** `layerwise: owl` in the core: a survey before anything is pruned, then each layer by its own sparsity. */
import { describe, expect, it } from 'vitest';
import { choiceIn } from '../../../coordinator/core/choices.ts';
import type { JobIntake, JobState, LinearIntake } from '../../../coordinator/core/state.ts';
import { Cluster } from '../../simulation/cluster.ts';
import { manifestOf } from '../../simulation/model.ts';
import { seededRandom } from '../../support/seeded-random.ts';

const LAYERS = 3;
const MODEL = {
  samples: 4,
  microbatch: 1,
  stages: 1,
  replicas: 'auto',
  snapshotInterval: 'auto',
  texts: 0,
  layerwise: true,
} as const;

interface Options {
  readonly propagate?: 'pruned' | 'dense';
  readonly method?: 'wanda' | 'sparsegpt';
  readonly change?: (linear: LinearIntake, layer: number) => LinearIntake;
  readonly workers?: number;
}

function begin({ propagate = 'pruned', method = 'wanda', change = (linear) => linear, workers = 2 }: Options) {
  const cluster = new Cluster(LAYERS, seededRandom(1));
  const layers = cluster.intake.layers.map(({ linears, ...layer }, index) => ({
    ...layer,
    linears: linears.map((linear) => {
      const choice = { kind: 'unstructured', sparsity: 0.5, layerwise: true } as const;
      return change({ ...linear, choice }, index);
    }),
  }));
  cluster.intake = { ...cluster.intake, layers } satisfies JobIntake;
  for (let worker = 0; worker < workers; worker++) cluster.attach(`w${worker}`);
  const manifest = manifestOf({ ...MODEL, propagate, method });
  cluster.take({ type: 'jobSubmitted', job: 'job', namespace: 'default', name: 'job', manifest });
  return cluster;
}

function settled(options: Options): Cluster {
  const cluster = begin(options);
  expect(cluster.settle(10_000)).toBe(true);
  expect(cluster.job.phase).toBe('Succeeded');
  expect(cluster.violations).toEqual([]);
  return cluster;
}

const verbsOf = (cluster: Cluster, entity: string): string[] =>
  cluster.events
    .filter((event) => event.entity === entity)
    .map(({ verb, data }) => `${verb} ${data.layer ?? ''}`.trim());

function told(cluster: Cluster, verb: string) {
  return cluster.events.filter((event) => event.verb === verb).map(({ data }) => data);
}

describe.each(['pruned', 'dense'] as const)('propagate: %s', (propagate) => {
  it.each(['wanda', 'sparsegpt'] as const)(
    '%s: every layer is surveyed once, before anything is committed',
    (method) => {
      const cluster = settled({ propagate, method });
      const verbs = verbsOf(cluster, 'layer');
      const surveyed = verbs.filter((verb) => verb.startsWith('surveyed'));
      expect(surveyed.sort()).toEqual(['surveyed 0', 'surveyed 1', 'surveyed 2']);
      expect(verbs.findLastIndex((verb) => verb.startsWith('surveyed'))).toBeLessThan(
        verbs.findIndex((verb) => verb.startsWith('committed')),
      );
      expect(verbs.filter((verb) => verb.startsWith('committed'))).toHaveLength(LAYERS);
      // Of the dense pass; where layers are calibrated behind pruned ones, once more.
      const calibrated = verbs.filter((verb) => verb.startsWith('calibrated'));
      expect(calibrated).toHaveLength(propagate === 'pruned' ? 2 * LAYERS : LAYERS);
      expect(cluster.job.workDone).toBe(cluster.job.workTotal);
      expect(cluster.job.workRedone).toBe(0);
    },
  );

  it('layers with more outliers keep more, and the mean is what was asked for', () => {
    const cluster = settled({ propagate });
    const [{ layers = [], ...asked } = {}] = told(cluster, 'budgeted');
    expect(asked).toMatchObject({ layerwise: 'owl', sparsity: 0.5 });
    const sparsities = (layers as { outlierRatio: number; sparsity: number }[]).map(({ sparsity }) => sparsity);
    // As many outliers as the layer's number: deviation 0.2 spans 0.4.
    expect(sparsities.map((each) => each.toFixed(6))).toEqual(['0.700000', '0.500000', '0.300000']);
  });
});

function choicesOf(job: JobState, intake: JobIntake) {
  return intake.layers.map(({ linears }, layer) => linears.map((linear) => choiceIn(job, layer, linear))[0]);
}

describe('choices', () => {
  it('are those of the budget; an override and a kept layer stay as they are', () => {
    const cluster = settled({
      change: (linear, layer) => {
        if (layer === 0) return { ...linear, choice: { kind: 'keepAll' } };
        return layer === 1 ? { ...linear, choice: { kind: 'unstructured', sparsity: 0.9 } } : linear;
      },
    });
    const found = choicesOf(cluster.job, cluster.intake);
    expect(found).toEqual([
      { kind: 'keepAll' },
      { kind: 'unstructured', sparsity: 0.9 },
      // Alone, it has what the model has.
      { kind: 'unstructured', sparsity: 0.5 },
    ]);
    expect(told(cluster, 'surveyed').map(({ layer }) => layer)).toEqual([2]);
  });

  it('of a job that keeps everything are made without a survey', () => {
    const cluster = settled({ change: (linear) => ({ ...linear, choice: { kind: 'keepAll' } }) });
    expect(told(cluster, 'surveyed')).toEqual([]);
    expect(told(cluster, 'budgeted')).toMatchObject([{ layers: [] }]);
  });
});

it('a coordinator that is killed in the survey, or right behind it, goes on where it was', () => {
  for (let steps = 1; steps < 60; steps++) {
    const cluster = begin({});
    for (let count = 0; count < steps; count++) cluster.advance();
    cluster.restartCoordinator();
    for (const worker of ['w0', 'w1']) cluster.attach(worker);
    expect(cluster.settle(10_000), `killed after ${steps} steps`).toBe(true);
    expect(cluster.job.phase).toBe('Succeeded');
    expect(cluster.violations).toEqual([]);
  }
});
