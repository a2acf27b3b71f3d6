/** Lives of a job in the simulated world; a seed that fails is printed with the command that lives it again. */
import { describe, expect, it } from 'vitest';
import { MUTANTS } from './mutants.ts';
import { scenarioOf } from './scenario.ts';
import { World } from './world.ts';

const SEEDS = 200;
const SEEDS_A_TEST = 20;
/** A mutant that lives through so many proves that nothing looks there. */
const MUTANT_SEEDS = 100;

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

  for (const [name, breakage] of Object.entries(MUTANTS)) {
    it(`notices when ${name}`, async () => {
      const noticed: number[] = [];
      for (let seed = 0; seed < MUTANT_SEEDS && noticed.length === 0; seed++) {
        const { breaches } = await new World(scenarioOf(seed), { breakage }).run();
        if (breaches.length > 0) noticed.push(seed);
      }
      expect(noticed, `npm run simulate -- --mutant '${name}' --seeds ${MUTANT_SEEDS}`).toHaveLength(1);
    });
  }
});
