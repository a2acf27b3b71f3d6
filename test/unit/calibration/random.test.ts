import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { seededRandom, splitMix64, xoshiro128StarStar } from '../../../worker/calibration/random.ts';

const first = (count: number, next: () => number): number[] => Array.from({ length: count }, () => next());

describe('the random numbers of calibration', () => {
  it('are those of the reference implementation of xoshiro128** (rand_xoshiro tests the same ten)', () => {
    const random = xoshiro128StarStar([1, 2, 3, 4]);
    expect(first(10, random.nextUint32)).toEqual([
      11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
    ]);
  });

  it('are seeded by the numbers of the reference implementation of SplitMix64', () => {
    const next = splitMix64(1477776061723855037n);
    expect([next(), next(), next(), next(), next()]).toEqual([
      1985237415132408290n,
      2979275885539914483n,
      13511426838097143398n,
      8488337342461049707n,
      15141737807933549159n,
    ]);
  });

  // From an independent implementation in arbitrary-precision integers.
  it.each([
    [0, [3737715805, 2584255861, 2876756834, 3286328325, 1553311962, 1625202774]],
    [1, [1695105466, 1423115009, 634581793, 1068227753, 716759206, 4186505319]],
    [42, [1776835114, 4165204688, 17111135, 2317295270, 2792088233, 2554630222]],
    [2 ** 32 - 1, [331202089, 2303545133, 2732085799, 1755962312, 20464611, 435992899]],
  ])('are the same on every machine for seed %i', (seed, expected) => {
    expect(first(6, seededRandom(seed).nextUint32)).toEqual(expected);
  });

  it('fall within the count asked for, whatever it is', () => {
    fc.assert(
      fc.property(fc.nat(), fc.integer({ min: 1, max: 2 ** 32 }), (seed, count) => {
        const drawn = seededRandom(seed).below(count);
        expect(Number.isInteger(drawn) && drawn >= 0 && drawn < count).toBe(true);
      }),
    );
  });

  it('are drawn again where a remainder would favour small results', () => {
    const count = 2 ** 31 + 1; // Only one multiple fits into 2^32: about half of the numbers are drawn again.
    const raw = first(64, seededRandom(7).nextUint32);
    const kept = raw.filter((value) => value < count);
    expect(kept.length).toBeLessThan(50);
    const random = seededRandom(7);
    expect(first(kept.length, () => random.below(count))).toEqual(kept);
  });

  it('are spread evenly over a count that is no power of two', () => {
    const random = seededRandom(3);
    const seen = new Array<number>(6).fill(0);
    for (let draw = 0; draw < 60_000; draw++) {
      const value = random.below(6);
      seen[value] = (seen[value] ?? 0) + 1;
    }
    // Five standard deviations of a binomial (60000, 1/6).
    for (const count of seen) expect(Math.abs(count - 10_000)).toBeLessThan(5 * Math.sqrt(60_000 * (1 / 6) * (5 / 6)));
  });

  it('refuse a state of zeros, which would give nothing but zeros', () => {
    expect(() => xoshiro128StarStar([0, 0, 0, 0])).toThrow('not all zero');
  });
});
