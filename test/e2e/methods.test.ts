/** Every method on micro-llama, from manifest to verified checkpoint; magnitude has as many zeros as the reference. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { Bench, microManifest, REPOSITORY } from '../support/secateur-process.ts';

const RUNS = [
  { method: 'magnitude', sparsity: 0.5 },
  { method: 'wanda', sparsity: 0.5, variant: 'cumulative' },
  { method: 'ria', sparsity: 0.5 },
  { method: 'random', pattern: '2:4', seed: 3 },
] as const;

interface Record {
  readonly manifest: { readonly spec: { readonly pruning: object } };
  readonly totals: { readonly sparsity: number; readonly zeros: number };
}

describe('every method', () => {
  it.each(RUNS)('$method', async (pruning) => {
    await using bench = new Bench();
    const output = bench.path('out');
    writeFileSync(bench.path('m.yaml'), microManifest({ output, pruning }));
    const finished = await bench.run(['run', bench.path('m.yaml'), '--workers', '1']);
    expect(finished.code, finished.stderr).toBe(0);
    const record = JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8')) as Record;
    expect(record.manifest.spec.pruning).toMatchObject(pruning);
    expect(Math.abs(record.totals.sparsity - 0.5)).toBeLessThan(0.005);
    const source = join(REPOSITORY, 'examples/micro-llama/model');
    const verified = await bench.run(['verify', output, '--source', source]);
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
    if (pruning.method === 'magnitude') {
      const { runs } = JSON.parse(
        readFileSync(join(REPOSITORY, 'test/golden/fixtures/micro/results.json'), 'utf8'),
      ) as { runs: { magnitude_50: { matrices: { [linear: string]: { zeros: number } } } } };
      const zeros = Object.values(runs.magnitude_50.matrices).reduce((sum, matrix) => sum + matrix.zeros, 0);
      expect(record.totals.zeros).toBe(zeros);
    }
  });
});
