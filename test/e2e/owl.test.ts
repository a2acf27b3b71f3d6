/** `layerwise: owl` with real processes: what the model loses, what it is worth, and the same bytes whoever computed them. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Bench, digestTree, microManifest, REPOSITORY } from '../support/secateur-process.ts';

const FIXTURES = join(REPOSITORY, 'test/golden/fixtures/micro');
const MODEL = join(REPOSITORY, 'examples/micro-llama/model');
const EVALUATION = { tokens: [join(FIXTURES, 'evaluation.safetensors')], outputError: false };
const CALIBRATION = { tokens: join(FIXTURES, 'calibration.safetensors'), microbatch: 1 };
const LAYER_WEIGHTS = 55_296;

interface Recorded {
  readonly totals: { readonly zeros: number };
  readonly perplexity: readonly { readonly pruned: number }[];
  readonly layers: readonly { readonly budget?: { readonly outlierRatio: number; readonly sparsity: number } }[];
}

interface Run {
  readonly record: Recorded;
  readonly digests: Record<string, string>;
}

async function run(
  bench: Bench,
  name: string,
  pruning: Record<string, unknown>,
  args: string[],
  env = {},
): Promise<Run> {
  const output = bench.path(name);
  const manifest = bench.path(`${name}.yaml`);
  writeFileSync(manifest, microManifest({ output, pruning, evaluation: EVALUATION, calibration: CALIBRATION }));
  const finished = await bench.run(['run', manifest, '--threads', '1', ...args], env);
  expect(finished.code, finished.stderr).toBe(0);
  const verified = await bench.run(['verify', output, '--source', MODEL]);
  expect(verified.code, verified.stdout + verified.stderr).toBe(0);
  return { record: JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8')), digests: digestTree(output) };
}

describe.each(['wanda', 'sparsegpt'])('%s at 70 %', (method) => {
  it('is better with OWL, at the same number of zeros', async () => {
    await using bench = new Bench();
    const { record: uniform } = await run(bench, 'uniform', { method, sparsity: 0.7 }, ['--workers', '2']);
    const { record: owl } = await run(bench, 'owl', { method, sparsity: 0.7, layerwise: 'owl' }, ['--workers', '2']);
    const outliers = owl.layers.map(({ budget }) => (budget?.outlierRatio ?? 0) * LAYER_WEIGHTS);
    expect(outliers.map(Math.round)).toEqual([324, 218, 130, 77]);
    if (method === 'wanda') expect(owl.totals.zeros).toBe(uniform.totals.zeros);
    // Its blocks lose one weight more than their share at most, and what ties with it.
    else expect(Math.abs(owl.totals.zeros / uniform.totals.zeros - 1)).toBeLessThan(1e-3);
    expect(owl.perplexity[0]?.pruned).toBeLessThan(0.7 * (uniform.perplexity[0]?.pruned ?? 0));
    expect(uniform.layers.every(({ budget }) => budget === undefined)).toBe(true);
  });
});

describe.each(['pruned', 'dense'])('propagate: %s', (propagate) => {
  it('gives the same bytes with one worker, with three in two stages, and where an engine dies in the survey', async () => {
    await using bench = new Bench();
    const pruning = { method: 'wanda', sparsity: 0.6, layerwise: 'owl', propagate };
    const quiet = await run(bench, 'quiet', pruning, ['--workers', '1']);
    const shared = await run(bench, 'shared', pruning, ['--workers', '3', '--set', 'spec.placement.stages=2']);
    // The first passes are those of the survey.
    const folder = bench.path('failpoints');
    mkdirSync(folder);
    writeFileSync(join(folder, 'engine.pass-computed'), '');
    const killed = await run(bench, 'killed', pruning, ['--workers', '2'], { SECATEUR_FAILPOINT_FOLDER: folder });
    expect(readdirSync(folder)).toEqual(['engine.pass-computed.fired']);
    expect(shared.digests).toEqual(quiet.digests);
    expect(killed.digests).toEqual(quiet.digests);
  });
});
