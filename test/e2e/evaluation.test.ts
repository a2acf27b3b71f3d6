/** Perplexity before and after, with real processes: what the reference measures, whoever measured it; and the gate. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { referenceResults } from '../support/masked-micro-llama.ts';
import { readSafetensors } from '../support/read-safetensors.ts';
import { Bench, microManifest, REPOSITORY } from '../support/secateur-process.ts';

const FIXTURES = join(REPOSITORY, 'test/golden/fixtures/micro');
const MODEL = join(REPOSITORY, 'examples/micro-llama/model');
const EVALUATION = { tokens: [join(FIXTURES, 'evaluation.safetensors')] };
const results = referenceResults;

interface Measured {
  readonly text: string;
  readonly windows: number;
  readonly dense: number;
  readonly pruned: number;
  readonly ratio: number;
}

async function run(bench: Bench, name: string, options: Partial<Parameters<typeof microManifest>[0]>, args: string[]) {
  const output = bench.path(name);
  const manifest = bench.path(`${name}.yaml`);
  writeFileSync(manifest, microManifest({ output, name, ...options }));
  const finished = await bench.run(['run', manifest, ...args]);
  return { output, finished };
}

/** By the reference's names. */
function errorsOf({ tensors }: { tensors: Record<string, { outputError: number }> }): Record<string, number> {
  return Object.fromEntries(
    Object.entries(tensors).map(([name, { outputError }]) => [
      name.replace(/^model\./, '').replace(/\.weight$/, ''),
      outputError,
    ]),
  );
}

function perplexityOf(output: string): Measured[] {
  return JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8')).perplexity;
}

describe('evaluation', () => {
  it('gives the perplexities of the reference, the same with one worker and with three, and says so', async () => {
    await using bench = new Bench();
    const measured: unknown[] = [];
    for (const workers of ['1', '3']) {
      // More windows than the file has rows are all of them.
      const evaluation = workers === '1' ? EVALUATION : { ...EVALUATION, windows: 1000 };
      const { output, finished } = await run(bench, `out-${workers}`, { evaluation }, ['--workers', workers]);
      expect(finished.code, finished.stderr).toBe(0);
      expect(finished.stdout).toMatch(
        /perplexity {2,}13\.043 before, 33\.255 after \(2\.550 times\) on evaluation\.safetensors/,
      );
      const { perplexity, layers } = JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8'));
      measured.push({ perplexity, errors: layers.map(errorsOf) });
    }
    expect(measured[1]).toEqual(measured[0]);
    const { perplexity, errors } = measured[0] as { perplexity: [Measured]; errors: Record<string, number>[] };
    const [found] = perplexity;
    // Of the first layer the inputs are those of the dense model, which the reference measured as well.
    for (const [linear, error] of Object.entries(errors[0] as Record<string, number>)) {
      const expected = results.runs.wanda_50_ref?.matrices[linear]?.rel_err_dense_inputs ?? 0;
      expect(Math.abs(error / expected - 1), linear).toBeLessThan(1e-4);
    }
    expect(Math.abs(found.dense / results.dense.ppl - 1)).toBeLessThan(1e-3);
    expect(Math.abs(found.pruned / (results.runs.wanda_50_ref?.ppl ?? 0) - 1)).toBeLessThan(1e-3);
  });

  it('of several texts measures each; where nothing is pruned bytes and perplexity stay exactly', async () => {
    await using bench = new Bench();
    const texts = ['a.txt', 'b.jsonl'].map((name) => bench.path(name));
    writeFileSync(texts[0] as string, 'It was the best of times, it was the worst of times. '.repeat(20));
    writeFileSync(texts[1] as string, '{"text":"Call me Ishmael. Some years ago, never mind how long."}\n'.repeat(20));
    const { output, finished } = await run(
      bench,
      'kept',
      { pruning: { method: 'wanda', sparsity: 0 }, evaluation: { text: texts, sequenceLength: 32, windows: 5 } },
      [],
    );
    expect(finished.code, finished.stderr).toBe(0);
    const measured = perplexityOf(output);
    expect(measured.map(({ text, windows }) => [text.split('/').at(-1), windows])).toEqual([
      ['a.txt', 5],
      ['b.jsonl', 5],
    ]);
    for (const { dense, pruned, ratio } of measured) {
      expect(pruned).toBe(dense);
      expect(ratio).toBe(1);
    }
    expect(readSafetensors(join(output, 'model.safetensors'))).toEqual(
      readSafetensors(join(MODEL, 'model.safetensors')),
    );
  });

  it('a job that fails its quality gate publishes nothing, and says by how much it failed', async () => {
    await using bench = new Bench();
    const { output, finished } = await run(
      bench,
      'gated',
      { evaluation: EVALUATION, qualityGate: { maxPerplexityRatio: 1.3 } },
      [],
    );
    expect(finished.code).toBe(1);
    expect(finished.stderr).toMatch(
      /maxPerplexityRatio allows \(1\.3\): .*evaluation\.safetensors: 13\.043 before, 33\.255 after, 2\.550 times/,
    );
    expect(existsSync(join(output, 'model.safetensors'))).toBe(false);
  });

  it('finds a text that is too short before anything is computed', async () => {
    await using bench = new Bench();
    const text = bench.path('short.txt');
    writeFileSync(text, 'Call me Ishmael.');
    const { finished } = await run(bench, 'short', { evaluation: { text: [text], sequenceLength: 64 } }, []);
    expect(finished.code).toBe(3);
    expect(finished.stderr).toMatch(/short\.txt: expected at least 64 tokens of evaluation text/);
    expect(finished.stderr).not.toMatch(/layer\.calibrated/);
  });
});
