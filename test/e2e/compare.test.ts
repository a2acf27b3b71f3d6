/** Methods side by side, with real processes: the perplexities of the reference, in one command that may be interrupted. */
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Comparison } from '../../cli/compare/comparison.ts';
import { referenceResults } from '../support/masked-micro-llama.ts';
import { PlainCluster } from '../support/plain-cluster.ts';
import { Bench, digestTree, microManifest, REPOSITORY } from '../support/secateur-process.ts';

const EVALUATION = { tokens: [join(REPOSITORY, 'test/golden/fixtures/micro/evaluation.safetensors')] };

/** What a trial leaves: its record, and the report that is made of it. */
const RECORDED = ['report.html', 'secateur.json'];

/** Writes the manifest of a comparison into the folder `out`. */
function begin(bench: Bench, over: Partial<Parameters<typeof microManifest>[0]> = {}): string {
  const manifest = bench.path(`${over.name ?? 'm'}.yaml`);
  const pruning = { method: 'wanda', sparsity: 0.5, propagate: 'dense' };
  writeFileSync(manifest, microManifest({ output: bench.path('out'), pruning, evaluation: EVALUATION, ...over }));
  return manifest;
}

function written(bench: Bench): Comparison {
  return JSON.parse(readFileSync(bench.path('out/compare.json'), 'utf8'));
}

const perplexityOf = ({ trials }: Comparison, name: string): number =>
  trials.find((trial) => trial.name === name)?.perplexity[0]?.perplexity ?? Number.NaN;

describe('compare', () => {
  it('has the perplexities of the reference, prints and writes them, and publishes nothing', async () => {
    await using bench = new Bench();
    const methods = ['--methods', 'magnitude,wanda,sparsegpt', '--sparsity', '0.5', '--patterns', '2:4'];
    const finished = await bench.run(['compare', begin(bench), ...methods]);
    expect(finished.code, finished.stderr).toBe(0);

    const found = written(bench);
    const { runs, dense } = referenceResults;
    const near = (name: string, expected = Number.NaN): number => Math.abs(perplexityOf(found, name) / expected - 1);
    expect(Math.abs((found.dense[0]?.perplexity ?? 0) / dense.ppl - 1)).toBeLessThan(1e-3);
    expect(near('wanda-50', runs.wanda_50_dense?.ppl)).toBeLessThan(1e-3);
    expect(near('wanda-2-4', runs['wanda_2-4_dense']?.ppl)).toBeLessThan(1e-3);
    expect(near('magnitude-50', runs.magnitude_50?.ppl)).toBeLessThan(1e-3);
    // Of weights of equal magnitude in one group, the reference keeps whichever its sort leaves (test/golden/methods.test.ts).
    expect(near('magnitude-2-4', runs['magnitude_2-4']?.ppl)).toBeLessThan(1e-2);
    expect(near('sparsegpt-50', runs.sparsegpt_50_dense?.ppl)).toBeLessThan(5e-3);
    expect(near('sparsegpt-2-4', runs['sparsegpt_2-4_dense']?.ppl)).toBeLessThan(5e-3);
    expect(found.dense[0]?.perplexity).toBeLessThan(perplexityOf(found, 'sparsegpt-50'));
    expect(perplexityOf(found, 'sparsegpt-50')).toBeLessThan(perplexityOf(found, 'wanda-50'));
    expect(perplexityOf(found, 'wanda-50')).toBeLessThan(perplexityOf(found, 'magnitude-50'));

    expect(finished.stdout).toMatch(/^wanda +50 % +32\.999 +2\.530 .* 50\.00 %$/m);
    expect(readFileSync(bench.path('out/compare.md'), 'utf8')).toContain('| wanda | 50 % | 32.999 |');
    expect(readFileSync(bench.path('out/compare.svg'), 'utf8')).toMatch(/<circle /);
    for (const { name } of found.trials) expect(readdirSync(bench.path('out', name))).toEqual(RECORDED);

    const verified = await bench.run(['verify', bench.path('out/wanda-50')]);
    expect(verified.code).toBe(6);
    expect(verified.stderr).toMatch(/there is no checkpoint to verify: .* was asked for none/);

    const again = await bench.run(['compare', begin(bench), ...methods, '-o', 'json']);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr).toMatch(/wanda-2-4: done before, by job /);
    expect(JSON.parse(again.stdout)).toEqual(found);
  });

  it('shares what does not depend on the method: the bytes and figures are those of the job alone', async () => {
    await using bench = new Bench();
    const args = ['--methods', 'magnitude,wanda', '--sparsity', '0.5', '--keep'];
    const kept = await bench.run(['compare', begin(bench), ...args]);
    expect(kept.code, kept.stderr).toBe(0);
    const told = (what: RegExp): number => (kept.stderr.match(what) ?? []).length;
    expect(told(/calibration\.prepared/g)).toBe(1);
    expect(told(/evaluation\.prepared/g)).toBe(1);
    expect(told(/layer\.calibrated/g)).toBe(4);
    expect(told(/evaluation\.measured .* model=dense/g)).toBe(1);
    expect(told(/job\.reused .* calibration=true layers=4/g)).toBe(1);

    const checkpoint = bench.path('out/wanda-50');
    const verified = await bench.run(['verify', checkpoint]);
    expect(verified.code, verified.stderr).toBe(0);
    const alone = bench.path('alone');
    const finished = await bench.run(['run', begin(bench, { output: alone }), '--workers', '1']);
    expect(finished.code, finished.stderr).toBe(0);
    expect(digestTree(checkpoint)).toEqual(digestTree(alone));
    const [shared, single] = [checkpoint, alone].map((folder) =>
      JSON.parse(readFileSync(join(folder, 'secateur.json'), 'utf8')),
    );
    // A report has times in it.
    const withoutReport = (outputs: { file: string }[]) => outputs.filter(({ file }) => file !== 'report.html');
    expect(withoutReport(shared.outputs)).toEqual(withoutReport(single.outputs));
    for (const field of ['calibration', 'inputs', 'totals', 'perplexity', 'statistics'])
      expect(shared[field], field).toEqual(single[field]);
    expect(shared.layers.map(({ outputError }: { outputError: number }) => outputError)).toEqual(
      single.layers.map(({ outputError }: { outputError: number }) => outputError),
    );
    expect(shared.reused.job).toMatch(/^micro-magnitude-50-/);

    // Trials have folders of their own: not in a checkpoint.
    const refused = await bench.run(['compare', begin(bench, { output: checkpoint }), ...args]);
    expect(refused.code).toBe(4);
    expect(refused.stderr).toMatch(/expected a folder for a comparison; it is the output of job /);
  });

  // Nine jobs.
  it('shares Hessians too: one calibration serves every method and amount, and each is what its job alone gives', {
    timeout: 300_000,
  }, async () => {
    await using bench = new Bench();
    const args = ['--methods', 'wanda,sparsegpt', '--sparsity', '0.3,0.5', '--patterns', '2:4', '--keep'];
    const finished = await bench.run(['compare', begin(bench), ...args]);
    expect(finished.code, finished.stderr).toBe(0);
    const told = (what: RegExp): number => (finished.stderr.match(what) ?? []).length;
    expect(told(/layer\.calibrated/g)).toBe(4);
    expect(told(/layer\.correlated/g)).toBe(4);
    // The second trial has the sums of the first, the others the Hessians of the second: through those that need none.
    expect(told(/job\.reused .* layers=4 hessians=0/g)).toBe(1);
    expect(told(/job\.reused .* layers=4 hessians=4/g)).toBe(4);
    const record = (folder: string) => JSON.parse(readFileSync(join(folder, 'secateur.json'), 'utf8'));
    const passes = (name: string): number => {
      const { timeline } = record(bench.path('out', name)) as { timeline: { spans: { kind: string }[] }[] };
      return timeline.flatMap(({ spans }) => spans).filter(({ kind }) => kind === 'calibrate' || kind === 'forward')
        .length;
    };
    for (const name of ['wanda-30', 'sparsegpt-30']) expect(passes(name), name).toBeGreaterThan(0);
    for (const name of ['wanda-50', 'sparsegpt-50', 'wanda-2-4', 'sparsegpt-2-4']) expect(passes(name), name).toBe(0);
    // Nobody is left who could want them.
    expect(readdirSync(bench.path('out')).filter((name) => name.startsWith('.'))).toEqual([]);

    const amounts = {
      'sparsegpt-30': { sparsity: 0.3 },
      'sparsegpt-50': { sparsity: 0.5 },
      'sparsegpt-2-4': { pattern: '2:4' },
    };
    const jobs = Object.entries(amounts).map(([name, amount]) => {
      const alone = bench.path('alone', name);
      const pruning = { method: 'sparsegpt', ...amount, propagate: 'dense' };
      const single = bench.run(['run', begin(bench, { name, output: alone, pruning }), '--workers', '1']);
      return { name, alone, single };
    });
    for (const { name, alone, single } of jobs) {
      const { code, stderr } = await single;
      expect(code, stderr).toBe(0);
      expect(digestTree(bench.path('out', name)), name).toEqual(digestTree(alone));
      for (const field of ['calibration', 'totals', 'perplexity', 'statistics'])
        expect(record(bench.path('out', name))[field], `${name} ${field}`).toEqual(record(alone)[field]);
    }
  });

  it('interrupted, goes on with what is not done; what fails is a row, and the exit code', async () => {
    await using bench = new Bench();
    const args = ['--methods', 'random,wanda', '--sparsity', '0.5,0.6', '--workers', '1'];
    const first = bench.start(['compare', begin(bench), ...args]);
    await first.printed(/wanda-50: job \S+ begins/);
    const interrupted = await first.kill('SIGINT');
    expect(interrupted.code, interrupted.stderr).toBe(130);
    expect(written(bench).missing).toContain('wanda-60');
    expect(perplexityOf(written(bench), 'random-50')).toBeGreaterThan(1);

    // In the way of a trial that has not begun.
    writeFileSync(bench.path('out/random-60'), 'no folder');
    const second = await bench.run(['compare', begin(bench), ...args]);
    expect(second.code, second.stderr).toBe(1);
    expect(second.stderr).toMatch(/random-50: done before/);
    expect(second.stderr).not.toMatch(/random-50: job \S+ begins/);
    // Of the coordinator before: what it kept outlives it.
    expect(second.stderr).toMatch(/job\.reused .* layers=4/);
    expect(second.stderr).not.toMatch(/layer\.calibrated/);
    expect(second.stdout).toMatch(/^random-60 failed: .* \[OutputExists\]$/m);
    const { trials, missing } = written(bench);
    expect(missing).toEqual([]);
    expect(trials.map(({ name, failure }) => [name, failure?.code])).toEqual([
      ['random-50', undefined],
      ['wanda-50', undefined],
      ['random-60', 'OutputExists'],
      ['wanda-60', undefined],
    ]);
    expect(existsSync(bench.path('out/wanda-60/secateur.json'))).toBe(true);
  });

  it.each([
    ['magnitude', ['--methods', 'magnitude,wanda', '--sparsity', '0.5'], /layers=4/, /^magnitude +50 % +35\.329 /m],
    [
      'sparsegpt',
      ['--methods', 'sparsegpt', '--sparsity', '0.5', '--patterns', '2:4'],
      /layers=4 hessians=4/,
      /^sparsegpt +50 % +26\.8/m,
    ],
  ] as const)(
    'killed at any point of recording a trial, goes on, and the next trial still takes its work over (%s)',
    async (method, what, taken, figure) => {
      await using bench = new Bench();
      const args = ['compare', begin(bench), ...what, '--workers', '1'];
      for (const point of ['listed', 'moved', 'unclaimed', 'cleared']) {
        const killed = await bench.run(args, { SECATEUR_FAILPOINT: `coordinator.publish-${point}` });
        expect(killed.signal, killed.stderr).toBe('SIGKILL');
      }
      const finished = await bench.run(args);
      expect(finished.code, finished.stderr).toBe(0);
      expect(finished.stderr).toMatch(/job\.reused .* calibration=true layers=4/);
      expect(finished.stderr).toMatch(taken);
      expect(finished.stdout).toMatch(figure);
      expect(readdirSync(bench.path('out', `${method}-50`))).toEqual(RECORDED);
    },
  );

  it('runs on the workers of a cluster that see none of the files, also while its coordinator is away', async () => {
    await using bench = new Bench();
    const cluster = await PlainCluster.create(bench);
    const first = await cluster.coordinator();
    cluster.worker('w1', {}, ['--storage', 'coordinator']);
    const where = ['--coordinator', cluster.address, '--report', bench.path('report')];
    const args = ['compare', begin(bench), '--methods', 'sparsegpt', '--sparsity', '0.5,0.6', ...where];
    const compare = bench.start(args);
    await compare.printed(/sparsegpt-60: job \S+ begins/);
    await first.kill();
    await cluster.coordinator();
    const finished = await compare.finished;
    expect(finished.code, finished.stderr).toBe(0);
    expect(finished.stderr).toMatch(/job\.reused .* layers=4 hessians=4/);
    const found: Comparison = JSON.parse(readFileSync(bench.path('report/compare.json'), 'utf8'));
    expect(perplexityOf(found, 'sparsegpt-50').toFixed(2)).toBe('26.88');
    expect(found.dense).toHaveLength(1);
    expect(existsSync(bench.path('out/compare.json'))).toBe(false);
    const again = await bench.run(args);
    expect(again.code, again.stderr).toBe(0);
    expect(again.stderr).toMatch(/sparsegpt-50: done before/);
    expect(again.stdout).toBe(finished.stdout);
  });

  it('says what is wrong before anything begins', async () => {
    await using bench = new Bench();
    const wrong = async (args: string[]): Promise<[number | null, string]> => {
      const { code, stderr } = await bench.run(['compare', begin(bench), ...args]);
      return [code, stderr];
    };
    expect(await wrong(['--methods', 'wnda', '--sparsity', '0.5'])).toEqual([
      2,
      expect.stringMatching(/"wnda" is no method/),
    ]);
    expect(await wrong(['--methods', 'wanda', '--sparsity', '50'])).toEqual([
      2,
      expect.stringMatching(/"50" is no share/),
    ]);
    expect(await wrong(['--methods', 'wanda', '--patterns', '4:2'])).toEqual([2, expect.stringMatching(/no pattern/)]);
    expect(await wrong(['--methods', 'wanda'])).toEqual([2, expect.stringMatching(/--sparsity, --patterns or both/)]);
    expect(existsSync(bench.path('out'))).toBe(false);
  });
});
