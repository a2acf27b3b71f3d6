/**
 * Sets of microbatches (numbers from 0) as sorted, disjoint, non-touching half-open ranges: what a share, a task or a
 * file covers. Plain data: it stands in the journal and on the wire as it is. No function changes a set.
 */

export type MicrobatchRange = readonly [first: number, end: number];
export type MicrobatchSet = readonly MicrobatchRange[];

export const NO_MICROBATCHES: MicrobatchSet = [];

/** 0, 1, …, count - 1. */
export function firstMicrobatches(count: number): MicrobatchSet {
  return count === 0 ? [] : [[0, count]];
}

/** Of ranges in any order, overlapping or touching. */
export function microbatchSet(ranges: Iterable<MicrobatchRange>): MicrobatchSet {
  const merged: [number, number][] = [];
  for (const [first, end] of [...ranges].filter((range) => range[0] < range[1]).sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (last !== undefined && first <= last[1]) last[1] = Math.max(last[1], end);
    else merged.push([first, end]);
  }
  return merged;
}

/** Of single microbatches in any order. */
export function setOfMembers(members: Iterable<number>): MicrobatchSet {
  return microbatchSet(Array.from(members, (each) => [each, each + 1] as const));
}

export function union(...sets: readonly MicrobatchSet[]): MicrobatchSet {
  const [first = NO_MICROBATCHES, ...others] = sets.filter((set) => !isEmpty(set));
  return others.length === 0 ? first : microbatchSet([first, ...others].flat());
}

export function intersection(a: MicrobatchSet, b: MicrobatchSet): MicrobatchSet {
  const found: MicrobatchRange[] = [];
  let [i, j] = [0, 0];
  while (i < a.length && j < b.length) {
    const [p, q] = [a[i] as MicrobatchRange, b[j] as MicrobatchRange];
    const [first, end] = [Math.max(p[0], q[0]), Math.min(p[1], q[1])];
    if (first < end) found.push([first, end]);
    if (p[1] < q[1]) i++;
    else j++;
  }
  return found;
}

/** What is in `a` and not in `b`. */
export function difference(a: MicrobatchSet, b: MicrobatchSet): MicrobatchSet {
  const found: MicrobatchRange[] = [];
  for (const [start, end] of a) {
    let first = start;
    for (const [from, to] of b) {
      if (to <= first) continue;
      if (from >= end) break;
      if (from > first) found.push([first, from]);
      first = Math.max(first, to);
    }
    if (first < end) found.push([first, end]);
  }
  return found;
}

export function countOf(set: MicrobatchSet): number {
  return set.reduce((sum, [first, end]) => sum + end - first, 0);
}

export function isEmpty(set: MicrobatchSet): boolean {
  return set.length === 0;
}

export function contains(set: MicrobatchSet, microbatch: number): boolean {
  return set.some(([first, end]) => first <= microbatch && microbatch < end);
}

/** The `count` lowest. */
export function lowest(set: MicrobatchSet, count: number): MicrobatchSet {
  const taken: MicrobatchRange[] = [];
  let left = count;
  for (const [first, end] of set) {
    if (left <= 0) break;
    taken.push([first, Math.min(end, first + left)]);
    left -= end - first;
  }
  return taken;
}

/** The `count` highest. */
export function highest(set: MicrobatchSet, count: number): MicrobatchSet {
  return difference(set, lowest(set, countOf(set) - count));
}

export function* membersOf(set: MicrobatchSet): Generator<number> {
  for (const [first, end] of set) {
    for (let microbatch = first; microbatch < end; microbatch++) yield microbatch;
  }
}

/** Short enough for a name: `0-15`, `7`, and `0-31~24` where 24 of that range are in the set. */
export function showMicrobatches(set: MicrobatchSet): string {
  const [first] = set[0] ?? [0];
  const last = (set.at(-1)?.[1] ?? 1) - 1;
  const count = countOf(set);
  const range = first === last ? String(first) : `${first}-${last}`;
  return count === last - first + 1 ? range : `${range}~${count}`;
}
