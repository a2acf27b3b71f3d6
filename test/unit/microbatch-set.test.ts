import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  contains,
  countOf,
  difference,
  highest,
  intersection,
  lowest,
  membersOf,
  setOfMembers,
  showMicrobatches,
  union,
} from '../../shared/microbatch-set.ts';

const members = fc.uniqueArray(fc.integer({ min: 0, max: 30 }), { maxLength: 20 });
const sorted = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);

describe('a set of microbatches', () => {
  it('does what a set of numbers does', () => {
    fc.assert(
      fc.property(members, members, fc.integer({ min: 0, max: 25 }), (a, b, count) => {
        const [p, q] = [setOfMembers(a), setOfMembers(b)];
        expect([...membersOf(p)]).toEqual(sorted(a));
        expect([...membersOf(union(p, q))]).toEqual(sorted(new Set([...a, ...b])));
        expect([...membersOf(intersection(p, q))]).toEqual(sorted(a.filter((n) => b.includes(n))));
        expect([...membersOf(difference(p, q))]).toEqual(sorted(a.filter((n) => !b.includes(n))));
        expect([...membersOf(lowest(p, count))]).toEqual(sorted(a).slice(0, count));
        expect([...membersOf(highest(p, count))]).toEqual(sorted(a).slice(Math.max(0, a.length - count)));
        expect(countOf(p)).toBe(a.length);
        expect(contains(p, count)).toBe(a.includes(count));
      }),
    );
  });

  it('is written one way only: sorted, disjoint, not touching', () => {
    fc.assert(
      fc.property(members, (a) => {
        const set = setOfMembers(a);
        for (const [index, [first, end]] of set.entries()) {
          expect(first).toBeLessThan(end);
          expect((set[index + 1]?.[0] ?? Number.POSITIVE_INFINITY) > end).toBe(true);
        }
      }),
    );
  });

  it('is shown short enough for a name', () => {
    expect(['0-3', '7', '0-8~5'].join()).toBe(
      [setOfMembers([0, 1, 2, 3]), setOfMembers([7]), setOfMembers([0, 1, 4, 6, 8])].map(showMicrobatches).join(),
    );
  });
});
