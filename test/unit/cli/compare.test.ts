/** A comparison: its trials, what is known of them, and how that is shown. */
import { describe, expect, it } from 'vitest';
import {
  type Comparison,
  compareTrials,
  isBest,
  ratioOf,
  TrialFigures,
  type TrialResult,
} from '../../../cli/compare/comparison.ts';
import { plotComparison } from '../../../cli/compare/plot-comparison.ts';
import { comparisonMarkdown, renderComparison } from '../../../cli/compare/render-comparison.ts';
import { decideTrial } from '../../../cli/compare/run-trials.ts';
import {
  type Amount,
  parseMethod,
  shareOf,
  showAmount,
  type Trial,
  type TrialMethod,
  trialsOf,
} from '../../../cli/compare/trials.ts';
import type { KnownJob } from '../../../cli/run/decide.ts';
import { toCloudEvent } from '../../../shared/events/cloud-event.ts';
import type { JsonObject } from '../../../shared/events/job-event.ts';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../../shared/manifest/schema.ts';

function manifest(pruning: object = { method: 'wanda', sparsity: 0.1 }, spec: object = {}, name = 'job'): Manifest {
  const text = JSON.stringify({
    apiVersion: 'secateur/v1',
    kind: 'PruneJob',
    metadata: { name },
    spec: {
      model: { source: '/model' },
      output: { destination: '/out' },
      calibration: { text: ['/a.txt'] },
      evaluation: { text: ['/wiki.txt', '/c4.txt'] },
      pruning,
      ...spec,
    },
  });
  return resolveLocations(parseManifest(text, 'test'), '/');
}

const methodsOf = (...names: string[]) => names.map((name) => parseMethod(name) as TrialMethod);

const AMOUNTS: Amount[] = [{ sparsity: 0.5 }, { pattern: '2:4' }];
const trials = (of = manifest(), keep = false): Trial[] =>
  trialsOf(of, { methods: methodsOf('magnitude', 'wanda'), amounts: AMOUNTS, keep });

describe('the trials of a comparison', () => {
  it('are a job for each amount and method, with folders and names of their own', () => {
    const made = trials();
    expect(made.map(({ name }) => name)).toEqual(['magnitude-50', 'wanda-50', 'magnitude-2-4', 'wanda-2-4']);
    expect(made.map(({ manifest: { spec } }) => spec.output.destination)).toEqual([
      'file:///out/magnitude-50',
      'file:///out/wanda-50',
      'file:///out/magnitude-2-4',
      'file:///out/wanda-2-4',
    ]);
    expect(made[1]?.manifest.metadata.name).toBe('job-wanda-50');
    expect(made[1]?.manifest.spec.pruning).toMatchObject({ method: 'wanda', sparsity: 0.5 });
    expect(made[3]?.manifest.spec.pruning).toMatchObject({ method: 'wanda', pattern: '2:4' });
    expect(made[3]?.manifest.spec.pruning).not.toHaveProperty('sparsity');
  });

  it('publish nothing unless asked, and have no quality gate', () => {
    const gated = manifest(undefined, { qualityGate: { maxPerplexityRatio: 1.1 } });
    expect(trials(gated).every(({ manifest: { spec } }) => spec.output.publish === false)).toBe(true);
    expect(trials(gated, true).every(({ manifest: { spec } }) => spec.output.publish === undefined)).toBe(true);
    expect(trials(gated).some(({ manifest: { spec } }) => spec.qualityGate !== undefined)).toBe(false);
  });

  it("take the manifest's options of a method over to that method only", () => {
    const [magnitude, wanda] = trials(
      manifest({ method: 'magnitude', scope: 'row', sparsity: 0.1, propagate: 'dense' }),
    );
    expect(magnitude?.manifest.spec.pruning).toMatchObject({ scope: 'row', propagate: 'dense' });
    expect(wanda?.manifest.spec.pruning).toMatchObject({ propagate: 'dense' });
    expect(wanda?.manifest.spec.pruning).not.toHaveProperty('scope');
  });

  it('of a method whose layers differ have no pattern, and its fields are for them alone', () => {
    const spread = manifest({ method: 'wanda', sparsity: 0.1, layerwise: 'owl', deviation: 0.2 });
    const methods = methodsOf('wanda', 'wanda+owl', 'ria+owl');
    const [uniform, owl, ria, ...rest] = trialsOf(spread, { methods, amounts: AMOUNTS, keep: false });
    expect(rest.map(({ name }) => name)).toEqual(['wanda-2-4']);
    expect(uniform?.manifest.spec.pruning).not.toHaveProperty('layerwise');
    expect(uniform?.manifest.spec.pruning).not.toHaveProperty('deviation');
    expect(owl).toMatchObject({ name: 'wanda-owl-50', method: 'wanda+owl' });
    expect(owl?.manifest.spec.pruning).toMatchObject({ layerwise: 'owl', outlierThreshold: 5, deviation: 0.2 });
    expect(ria?.manifest.spec.pruning).toMatchObject({ method: 'ria', layerwise: 'owl', scope: 'matrix' });
  });

  it.each(['owl', 'wanda+', 'wanda+awl', 'wanda+owl+owl', '+owl', 'Wanda'])('have no method %s', (name) => {
    expect(parseMethod(name)).toBeNull();
  });

  it('keep to the longest name that a job may have', () => {
    const long = 'a'.repeat(39) + '-'.repeat(2) + 'b'.repeat(9);
    for (const trial of trials(manifest(undefined, {}, long))) {
      const { name } = trial.manifest.metadata;
      expect(name.length).toBeLessThanOrEqual(50);
      expect(name).toMatch(new RegExp(`[ab]-${trial.name}$`));
    }
  });

  it('are refused without texts, twice, and where an option does not go with an amount', () => {
    const { evaluation: _evaluation, ...spec } = manifest().spec;
    expect(() => trials({ ...manifest(), spec })).toThrow(/spec\.evaluation: expected the texts/);
    expect(() => trialsOf(manifest(), { methods: methodsOf('wanda', 'wanda'), amounts: AMOUNTS, keep: false })).toThrow(
      /wanda-50 is asked for twice/,
    );
    expect(() => trials(manifest({ method: 'wanda', sparsity: 0.1, variant: 'cumulative' }))).toThrow(
      /spec\.pruning\.variant: goes with "sparsity" only/,
    );
  });

  it('show amounts as people write them', () => {
    expect([{ sparsity: 0.07 }, { sparsity: 0.625 }, { pattern: '1:4' }].map(showAmount)).toEqual([
      '7 %',
      '62.5 %',
      '1:4',
    ]);
    expect([{ sparsity: 0.625 }, { pattern: '1:4' }].map(shareOf)).toEqual([0.625, 0.75]);
  });
});

describe('what is done about a trial', () => {
  const [trial] = trials() as [Trial];
  const job = (phase: string, over: Partial<KnownJob> = {}): KnownJob => ({
    id: 'job-1',
    phase,
    manifest: trial.manifest,
    layersCommitted: 1,
    ...over,
  });

  it('nothing where it is done and its output is there, also where nobody can look', () => {
    expect(decideTrial(trial, [job('Succeeded')], 'job-1')).toEqual({ kind: 'done', job: 'job-1' });
    expect(decideTrial(trial, [job('Succeeded')], undefined)).toEqual({ kind: 'done', job: 'job-1' });
  });

  it('begins again where its output was removed, goes on where it was interrupted', () => {
    expect(decideTrial(trial, [job('Succeeded')], null)).toEqual({ kind: 'submit', cancelFirst: null });
    expect(decideTrial(trial, [job('Pruning')], 'job-1')).toEqual({ kind: 'continue', job: 'job-1' });
    expect(decideTrial(trial, [job('Failed')], undefined)).toEqual({ kind: 'resume', job: 'job-1', phase: 'Failed' });
  });

  it('refuses the result of another manifest', () => {
    const other = trials(manifest({ method: 'wanda', sparsity: 0.1, propagate: 'dense' }))[0] as Trial;
    expect(() => decideTrial(trial, [job('Succeeded', { manifest: other.manifest })], 'job-1')).toThrow(
      /spec\.pruning\.propagate was "dense", is "pruned"/,
    );
  });
});

function figures(wiki: number, c4: number, pruneMs: number): TrialFigures {
  const told = new TrialFigures();
  const tell = (entity: 'evaluation' | 'layer' | 'job', verb: string, data: JsonObject): void =>
    told.take(toCloudEvent({ namespace: 'default', job: 'job-1', sequence: 1, atMs: 0, entity, verb, data }));
  // In another order than the manifest's.
  for (const [text, perplexity] of [
    ['file:///c4.txt', c4],
    ['file:///wiki.txt', wiki],
  ] as const) {
    tell('evaluation', 'measured', { text, model: 'pruned', perplexity });
    tell('evaluation', 'measured', { text, model: 'dense', perplexity: text.includes('c4') ? 8 : 10 });
  }
  for (const layer of [0, 1]) tell('layer', 'committed', { layer, weights: 100, zeros: 50, pruneMs });
  tell('job', 'succeeded', { elapsedMs: 7000 });
  told.end({ id: 'job-1', phase: 'Succeeded', message: '', failure: null });
  return told;
}

function comparison(over: [string, TrialFigures][] = []): Comparison {
  return compareTrials(
    manifest(),
    trials(),
    new Map([
      ['magnitude-50', figures(30, 9, 100)],
      ['wanda-50', figures(20, 12, 150)],
      ['magnitude-2-4', TrialFigures.refused('StorageFull', 'no | room\nleft')],
      ...over,
    ]),
  );
}

describe('a comparison', () => {
  it('has the figures of every trial that ended, and names the rest', () => {
    const found = comparison();
    expect(found.dense).toEqual([
      { text: 'file:///wiki.txt', perplexity: 10 },
      { text: 'file:///c4.txt', perplexity: 8 },
    ]);
    expect(found.missing).toEqual(['wanda-2-4']);
    const [magnitude, wanda, failed] = found.trials as [TrialResult, TrialResult, TrialResult];
    expect(wanda).toMatchObject({ amount: '50 %', sparsity: 0.5, pruneMs: 300, totalMs: 7000, failure: null });
    expect(ratioOf(found, wanda, 'file:///wiki.txt')).toBe(2);
    expect(ratioOf(found, failed, 'file:///wiki.txt')).toBe(null);
    expect(isBest(found, wanda, 'file:///wiki.txt')).toBe(true);
    expect(isBest(found, wanda, 'file:///c4.txt')).toBe(false);
    expect(isBest(found, magnitude, 'file:///c4.txt')).toBe(true);
    expect(failed).toMatchObject({ perplexity: [], sparsity: null, failure: { code: 'StorageFull' } });
  });

  it('is a table with the dense model first, the best marked, and a reason for what failed', () => {
    expect(renderComparison(comparison())).toBe(
      [
        'METHOD     AMOUNT  WIKI.TXT  RATIO  C4.TXT  RATIO  CHOOSING  TOTAL  SPARSITY',
        'dense           -    10.000  1.000   8.000  1.000         -      -         -',
        'magnitude    50 %    30.000  3.000  *9.000  1.125    200 ms  7.0 s   50.00 %',
        'wanda        50 %   *20.000  2.000  12.000  1.500    300 ms  7.0 s   50.00 %',
        'magnitude     2:4         -      -       -      -         -      -         -',
        '',
        '*: the lowest perplexity of those of the same amount. choosing: weights chosen and written, added up over the layers.',
        '',
        'magnitude-2-4 failed: no | room left [StorageFull]',
        '',
        'not done yet: wanda-2-4',
      ].join('\n'),
    );
  });

  it('marks nothing that has no rival', () => {
    const alone = compareTrials(manifest(), trials(), new Map([['wanda-50', figures(20, 12, 1)]]));
    expect(renderComparison(alone)).not.toContain('*');
  });

  it('is Markdown whose table has as many cells in every line', () => {
    const lines = comparisonMarkdown(comparison())
      .split('\n')
      .filter((line) => line.startsWith('|'));
    expect(lines).toHaveLength(6);
    expect(new Set(lines.map((line) => line.replaceAll('\\|', '').split('|').length)).size).toBe(1);
    expect(lines[3]).toBe('| magnitude | 50 % | 30.000 | 3.000 | **9.000** | 1.125 | 200 ms | 7.0 s | 50.00 % |');
  });
});

/** y coordinates of the marks of one kind. */
function marks(svg: string, pattern: RegExp): number[] {
  return [...svg.matchAll(pattern)].map((match) => Number(match[1]));
}

describe('the plot of a comparison', () => {
  it('has a panel a text, a mark a trial, lower perplexities lower, and no mark where there is no figure', () => {
    const svg = plotComparison(comparison([['wanda-2-4', figures(40, 20, 1)]]));
    expect(svg.match(/<g transform/g)).toHaveLength(2);
    const circles = marks(svg, /<circle cx="[\d.]+" cy="([\d.]+)"/g);
    expect(circles).toHaveLength(4);
    expect(circles[0]).toBeLessThan(circles[1] as number);
    expect(svg.match(/<rect /g)).toHaveLength(2);
    // Patterns have their column behind every sparsity, with its name below.
    expect(Math.min(...marks(svg, /<rect x="([\d.]+)"/g))).toBeGreaterThan(
      Math.max(...marks(svg, /<circle cx="([\d.]+)"/g)),
    );
    expect(svg).toMatch(/<text x="[\d.]+" y="\d+" text-anchor="middle">2:4</);
    expect(svg).not.toMatch(/NaN|Infinity|undefined/);
    expect(svg).toContain('prefers-color-scheme:dark');
  });

  it('joins the sparsities of a method, in their order', () => {
    const made = trialsOf(manifest(), {
      methods: methodsOf('wanda'),
      amounts: [{ sparsity: 0.7 }, { sparsity: 0.3 }],
      keep: false,
    });
    const found = new Map([
      ['wanda-70', figures(30, 9, 1)],
      ['wanda-30', figures(20, 9, 1)],
    ]);
    const points = /points="([\d.]+),[\d.]+ ([\d.]+),/.exec(plotComparison(compareTrials(manifest(), made, found)));
    expect(Number(points?.[1])).toBeLessThan(Number(points?.[2]));
  });

  it('is logarithmic where the figures are far apart, and draws what is before the first figure', () => {
    expect(plotComparison(comparison([['wanda-2-4', figures(1e6, 1e30, 1)]]))).toContain('(logarithmic)');
    expect(plotComparison(comparison())).not.toContain('(logarithmic)');
    expect(plotComparison(compareTrials(manifest(), trials(), new Map()))).toMatch(/<svg .*<\/svg>\n$/s);
  });

  it('escapes names', () => {
    const odd = comparison();
    expect(plotComparison({ ...odd, name: '<b>&' })).toContain('&#60;b&#62;&#38;');
  });
});
