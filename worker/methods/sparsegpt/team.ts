/**
 * Threads that do one piece of work together: all run the same program on the same shared memory, and meet where one needs
 * what others have done. Every thread comes to every meeting, in the same order; where one fails, all do.
 */
import type { Range } from './matrix-product.ts';

export interface Team {
  readonly size: number;
  /**
   * Does every item 0, 1, …, count - 1 once, on whichever thread comes first, in ascending order; resolves on all threads
   * when all items are done: what they wrote to shared memory is then to be seen.
   */
  share(count: number, work: (item: number) => Promise<void>): Promise<void>;
  /** In place of these counts, on all threads: their sum over the threads, modulo 2^32. At most TEAM_COUNTS_MAX of them. */
  sum(counts: Uint32Array): void;
}

export const TEAM_COUNTS_MAX = 2048;

/** One thread. */
export const ALONE: Team = {
  size: 1,
  share: async (count, work) => {
    for (let item = 0; item < count; item++) await work(item);
  },
  sum: () => undefined,
};

/** Zeros that all threads see. */
export function sharedFloats(length: number): Float32Array {
  return new Float32Array(new SharedArrayBuffer(4 * length));
}

export function isShared({ buffer }: Float32Array): boolean {
  return buffer instanceof SharedArrayBuffer;
}

/**
 * A range in as many parts as are wanted, more where they would be longer than `lengthMax` (a multiple of `unit`), fewer
 * where they would be shorter than a unit: whole units, about as many in each, and in the last what is left as well.
 */
export function partsOf(range: Range, wanted: number, unit: number, lengthMax: number): Range[] {
  const units = Math.max(1, Math.floor((range.end - range.begin) / unit));
  const count = Math.min(units, Math.max(wanted, Math.ceil((units * unit) / lengthMax)));
  const boundary = (part: number) =>
    part === count ? range.end : range.begin + Math.floor((part * units) / count) * unit;
  return Array.from({ length: count }, (_, part) => ({ begin: boundary(part), end: boundary(part + 1) }));
}
