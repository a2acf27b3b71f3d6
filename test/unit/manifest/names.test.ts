/** Globs, near names, sizes, patterns and layer ranges on their own. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { matchesGlob } from '../../../shared/manifest/glob.ts';
import { layerRanges, parseLayerRange, selectsLayer } from '../../../shared/manifest/layer-range.ts';
import { editDistance, nearestName } from '../../../shared/manifest/nearest-name.ts';
import { nearestSize, parseSize } from '../../../shared/manifest/size.ts';
import { nearestPattern, parsePattern } from '../../../shared/manifest/sparsity-pattern.ts';

describe('matchesGlob', () => {
  test('agrees with a regular expression on any glob and name', () => {
    const text = fc.stringMatching(/^[ab.]{0,12}$/);
    fc.assert(
      fc.property(fc.stringMatching(/^[ab.*?]{0,8}$/), text, (glob, name) => {
        const source = glob.replaceAll('.', '\\.').replaceAll('*', '.*').replaceAll('?', '.');
        expect(matchesGlob(glob, name)).toBe(new RegExp(`^${source}$`).test(name));
      }),
      { numRuns: 2000 },
    );
  });

  test('ends soon where a regular expression would not', () => {
    expect(matchesGlob(`${'*a'.repeat(120)}b`, 'a'.repeat(10_000))).toBe(false);
  });
});

describe('nearestName', () => {
  test('finds typing mistakes, regardless of case, and beginnings', () => {
    const names = ['sparsity', 'pattern', 'propagate'];
    expect(nearestName('sparsty', names)).toBe('sparsity');
    expect(nearestName('PATTERN', names)).toBe('pattern');
    expect(nearestName('prop', names)).toBe('propagate');
    expect(nearestName('zzz', names)).toBeUndefined();
    expect(nearestName('x'.repeat(1_000_000), names)).toBeUndefined();
  });

  test('editDistance is a distance, and one for any single mistake', () => {
    expect([editDistance('', 'abc'), editDistance('abc', 'acb'), editDistance('kitten', 'sitting')]).toEqual([3, 1, 3]);
    fc.assert(
      fc.property(fc.string({ maxLength: 12 }), fc.string({ maxLength: 12 }), (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a));
        expect(editDistance(a, b) === 0).toBe(a === b);
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length));
      }),
    );
  });
});

describe('sizes, patterns and ranges', () => {
  test('sizes count in thousands without an i, in 1024 with one', () => {
    expect(['1KB', '1KiB', '2TB', '0.5GB'].map(parseSize)).toEqual([1000, 1024, 2e12, 5e8]);
    expect(['', '5', '5gb', '5 GB', '-1GB', '0GB', '1PB', '1iB', '99999999999999TB', '0.1B'].map(parseSize)).toEqual(
      Array(10).fill(undefined),
    );
    expect(['5gb', '5 GB', '5g', '2gib', '5GBytes', 'five'].map(nearestSize)).toEqual([
      '5GB',
      '5GB',
      '5GB',
      '2GiB',
      '5GB',
      undefined,
    ]);
  });

  test('patterns keep fewer than the group', () => {
    expect(parsePattern('2:4')).toEqual({ keep: 2, group: 4 });
    expect(['4:2', '4:4', '0:4', '02:4', '2:1025', '2', '2:4:8', ' 2:4'].map(parsePattern)).toEqual(
      Array(8).fill(undefined),
    );
    expect(['4:2', '2/4', '2x4', ' 2 : 4', '3:3'].map(nearestPattern)).toEqual(['2:4', '2:4', '2:4', '2:4', undefined]);
  });

  test('ranges take both ends', () => {
    expect([3, '3', '0-3'].map(parseLayerRange)).toEqual([
      { first: 3, last: 3 },
      { first: 3, last: 3 },
      { first: 0, last: 3 },
    ]);
    expect(['3-0', '-1', 'a', '1-', '1-2-3'].map(parseLayerRange)).toEqual(Array(5).fill(undefined));
    expect(layerRanges([0, '2-3'])).toEqual([
      { first: 0, last: 0 },
      { first: 2, last: 3 },
    ]);
    expect([0, 1, 2, 3, 4].map((layer) => selectsLayer([0, '2-3'], layer))).toEqual([true, false, true, true, false]);
  });
});
