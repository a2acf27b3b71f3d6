/** --set: what it changes, and how its mistakes are told. */

import { describe, expect, test } from 'vitest';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';
import { applyOverrides, parseOverride } from '../../../shared/manifest/set-overrides.ts';
import { changed, errorsOf, VALID } from './manifest-text.ts';

const set = (...texts: string[]) => parseManifest(VALID, 'job.yaml', { set: texts });

describe('--set', () => {
  test('replaces a value', () => expect(set('spec.pruning.sparsity=0.6').spec.pruning.sparsity).toBe(0.6));

  test('makes the mappings on the way', () => {
    expect(set('spec.placement.stages=2').spec.placement).toEqual({
      stages: 2,
      replicas: 'auto',
      snapshotInterval: 'auto',
    });
  });

  test('takes an entry of a list, a whole list, and the index behind the end', () => {
    const files = (...texts: string[]) => (set(...texts).spec.calibration as { text: readonly string[] }).text;
    expect(files('spec.calibration.text[0]=b.txt')).toEqual(['b.txt']);
    expect(files('spec.calibration.text[1]=b.txt')).toEqual(['a.txt', 'b.txt']);
    expect(files('spec.calibration.text=[c.txt, d.md]', 'spec.calibration.text[0]=null')).toEqual(['d.md']);
  });

  test('builds an override from nothing', () => {
    const { overrides } = set('spec.pruning.overrides[0].layers=0-1', 'spec.pruning.overrides[0].pattern=2:4').spec
      .pruning;
    expect(overrides).toEqual([{ layers: '0-1', pattern: '2:4' }]);
  });

  test('takes keys in quotes, and values with an equals sign', () => {
    expect(set('metadata.labels["team/name"]=a').metadata.labels).toEqual({ 'team/name': 'a' });
    expect(set('spec.model.source=/models/a=b').spec.model.source).toBe('/models/a=b');
  });

  test('removes with null, so that a pattern can stand in for the sparsity', () => {
    const { pruning } = set('spec.pruning.sparsity=null', 'spec.pruning.pattern=2:4').spec;
    expect(pruning.pattern).toBe('2:4');
    expect('sparsity' in pruning).toBe(false);
  });

  test('leaves the value it is given alone, also where an alias shares it', () => {
    const shared = { x: 1 };
    const before = { a: shared, b: shared };
    const { value } = applyOverrides(before, ['a.x=2']);
    expect(value).toEqual({ a: { x: 2 }, b: { x: 1 } });
    expect(before).toEqual({ a: { x: 1 }, b: { x: 1 } });
  });

  test('cannot reach a prototype', () => {
    expect(applyOverrides({}, ['__proto__.polluted=1', 'a["__proto__"].polluted=1']).problems).toHaveLength(2);
    expect(applyOverrides({}, ['constructor.prototype.polluted=1']).value).toEqual({
      constructor: { prototype: { polluted: 1 } },
    });
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
  });

  test('is repeatable: a parse leaves nothing behind for the next', () => {
    for (let round = 0; round < 2; round += 1) expect(parseOverride('a.b[0]=1')).toMatchObject({ path: ['a', 'b', 0] });
  });
});

const FORM = 'expected path=value such as spec.pruning.sparsity=0.6';

/** [--set, its line] */
const WRONG: readonly (readonly [string, string])[] = [
  [
    'spec.pruning.sparsty=0.6',
    'spec.pruning.sparsty: unknown key; did you mean "sparsity"? known here: method, sparsity, pattern, scope, variant, activationPower, seed, blockSize, dampingFraction, layerwise, outlierThreshold, deviation, propagate, include, exclude, overrides',
  ],
  [
    'spec.prunning.sparsity=0.6',
    'spec.prunning: unknown key; did you mean "pruning"? known here: model, output, calibration, pruning, placement, evaluation, qualityGate',
  ],
  [
    'spec.pruning.pattern=2:4',
    'spec.pruning.pattern: expected "sparsity" or "pattern", found both; remove one of them (on the command line: --set spec.pruning.sparsity=null)',
  ],
  ['spec.model.source=null', 'spec.model.source: missing; expected a path or a file URL such as file:///models/llama'],
  [
    'spec.pruning={method: wand, sparsity: 0.5}',
    'spec.pruning.method: expected "wanda", "magnitude", "sparsegpt", "ria" or "random", found "wand"; did you mean "wanda"?',
  ],
  [
    'spec.pruning.overrides[0].sparsity=0',
    'spec.pruning.overrides[0].layers: missing; expected a layer (3), a range with both ends ("0-3") or a list of those',
  ],
  ['spec.pruning.sparsity.x=1', 'spec.pruning.sparsity is neither a mapping nor a list'],
  ['spec.calibration.text[5]=b.txt', 'spec.calibration.text has 1 entries; the next index is [1]'],
  [
    'spec.calibration.text.first=b.txt',
    'spec.calibration.text is a list, expected an index such as [0], found "first"',
  ],
  ['spec[0]=1', 'spec is a mapping, it has no [0]'],
  ['spec.pruning.sparsity', FORM],
  ['=1', FORM],
  ['.spec=1', FORM],
  ['[0]=1', FORM],
  ['spec..pruning=1', FORM],
  ['spec.pruning.sparsity=', `the value is empty; write =null to remove the key, ='""' for an empty text`],
  ['spec.model.source=[a', 'the value is not valid YAML: Flow sequence must end with a ]'],
];

describe('a wrong --set is named instead of a place in the file', () => {
  test.each(WRONG)('%s', (text, line) => {
    expect(errorsOf(VALID, [text])).toEqual([`--set ${text}: ${line}`]);
  });

  test('sparsity over a file with a pattern tells how to remove the pattern', () => {
    expect(errorsOf(changed('sparsity: 0.5', 'pattern: 2:4'), ['spec.pruning.sparsity=0.6'])).toEqual([
      '--set spec.pruning.sparsity=0.6: spec.pruning.sparsity: expected "sparsity" or "pattern", found both; remove one of them (on the command line: --set spec.pruning.pattern=null)',
    ]);
  });

  test('a later --set that repairs an earlier one leaves no error', () => {
    expect(set('spec.pruning.sparsity=50', 'spec.pruning.sparsity=0.5').spec.pruning.sparsity).toBe(0.5);
  });
});
