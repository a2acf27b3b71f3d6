/**
 * `npm run simulate`: lives of a job, one a seed.
 *
 *     npm run simulate -- --seeds 10000 --from 0      a night of them
 *     npm run simulate -- --seed 42 --trace           one, with everything that happened
 */
import { parseArgs } from 'node:util';
import { MUTANTS } from './mutants.ts';
import { scenarioOf } from './scenario.ts';
import { type Report, World } from './world.ts';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '200' },
    from: { type: 'string', default: '0' },
    seed: { type: 'string' },
    trace: { type: 'boolean', default: false },
    mutant: { type: 'string' },
  },
});

async function live(seed: number): Promise<Report> {
  const breakage = values.mutant === undefined ? undefined : MUTANTS[values.mutant];
  const trace = values.trace ? { trace: (line: string) => console.log(line) } : {};
  return new World(
    { ...scenarioOf(seed), ...breakage?.lives },
    { ...trace, ...(breakage === undefined ? {} : { breakage }) },
  ).run();
}

async function main(): Promise<void> {
  const first = Number(values.seed ?? values.from);
  const count = values.seed === undefined ? Number(values.seeds) : 1;
  const started = performance.now();
  let failed = 0;
  let happenings = 0;
  const faults: Record<string, number> = {};
  for (let seed = first; seed < first + count; seed++) {
    const report = await live(seed);
    happenings += report.happenings;
    for (const [kind, times] of Object.entries(report.faults)) faults[kind] = (faults[kind] ?? 0) + times;
    if (count === 1) console.log(JSON.stringify({ scenario: scenarioOf(seed), report }, null, 2));
    if (report.breaches.length === 0) continue;
    failed += 1;
    console.log(`seed ${seed}: ${report.breaches.join('\n  ')}`);
    console.log(`  npm run simulate -- --seed ${seed} --trace`);
  }
  const seconds = (performance.now() - started) / 1000;
  console.log(`${count} seeds, ${failed} failed, ${happenings} happenings, ${seconds.toFixed(1)} s`);
  console.log(`faults: ${JSON.stringify(faults)}`);
  process.exitCode = failed === 0 ? 0 : 1;
}

await main();
