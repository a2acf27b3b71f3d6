/** Lives of a job in the simulated world; a seed that fails is printed with the command that lives it again. */
import { describe, expect, it } from 'vitest';
import { fromCloudEvent } from '../../shared/events/cloud-event.ts';
import { MUTANTS } from './mutants.ts';
import { type Scenario, scenarioOf } from './scenario.ts';
import { World } from './world.ts';

const SEEDS = 200;
const SEEDS_A_TEST = 20;
/** A mutant that lives through so many proves that nothing looks there. */
const MUTANT_SEEDS = 150;

describe('the simulated world', () => {
  for (let from = 0; from < SEEDS; from += SEEDS_A_TEST) {
    it(`seeds ${from}…${from + SEEDS_A_TEST - 1}: every promise holds, and what is published is what a quiet run publishes`, async () => {
      for (let seed = from; seed < from + SEEDS_A_TEST; seed++) {
        const { breaches } = await new World(scenarioOf(seed), {}).run();
        expect(breaches, `npm run simulate -- --seed ${seed} --trace`).toEqual([]);
      }
    });
  }

  it('the same seed is the same life', async () => {
    const [first, second] = [await new World(scenarioOf(7), {}).run(), await new World(scenarioOf(7), {}).run()];
    expect(second).toEqual(first);
  });

  it('stages that follow one another have all workers, each with an even share of every layer', async () => {
    const quiet = scenarioOf(0);
    const model = { ...quiet.model, layers: 6, samples: 32, microbatch: 1, propagate: 'pruned', stages: 2 } as const;
    const scenario = {
      ...quiet,
      model: { ...model, replicas: 'auto' as const },
      workers: [1_000, 1_000, 1_000, 1_000],
    };
    const world = new World(scenario, {});
    expect((await world.run()).breaches).toEqual([]);
    const calibrated = world.watcher.seen
      .map((json) => fromCloudEvent(JSON.parse(json)))
      .filter(({ entity, verb }) => entity === 'layer' && verb === 'calibrated');
    const shares = calibrated.map(({ data }) =>
      (data.workers as { microbatches: number }[]).map((each) => each.microbatches),
    );
    // The first layer begins with the workers that are there by then.
    expect(shares.slice(1)).toEqual(Array.from({ length: 5 }, () => [8, 8, 8, 8]));
  });

  it('a thousand workers, of which some are lost, cut off or leave: every promise holds, and the bytes are the same', async () => {
    const scenario: Scenario = {
      ...scenarioOf(0),
      seed: 1_000,
      model: {
        layers: 3,
        samples: 1_000,
        microbatch: 1,
        propagate: 'pruned',
        stages: 1,
        replicas: 'auto',
        snapshotInterval: 'auto',
        texts: 0,
      },
      workers: Array.from({ length: 1_000 }, () => 20),
      faults: ['killWorker', 'killEngine', 'breakStreams', 'cutBoth', 'drain'],
      faultEveryMs: 500,
      calmAfterMs: 40_000,
    };
    const world = new World(scenario, {});
    const { breaches, phase, faults } = await world.run();
    expect([breaches, phase]).toEqual([[], 'Succeeded']);
    expect(Object.keys(faults).sort()).toEqual([...scenario.faults].sort());
    // Each has a thousandth of the last layer, but for those who are away.
    const last = world.watcher.seen
      .map((json) => fromCloudEvent(JSON.parse(json)))
      .findLast(({ entity, verb }) => entity === 'layer' && verb === 'calibrated');
    expect(((last?.data.workers ?? []) as unknown[]).length).toBeGreaterThan(900);
  }, 300_000);

  for (const [name, breakage] of Object.entries(MUTANTS)) {
    it(`notices when ${name}`, async () => {
      const noticed: number[] = [];
      for (let seed = 0; seed < MUTANT_SEEDS && noticed.length === 0; seed++) {
        const { breaches } = await new World({ ...scenarioOf(seed), ...breakage.lives }, { breakage }).run();
        if (breaches.length > 0) noticed.push(seed);
      }
      expect(noticed, `npm run simulate -- --mutant '${name}' --seeds ${MUTANT_SEEDS}`).toHaveLength(1);
    });
  }
});
