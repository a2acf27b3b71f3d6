/**
 * Threads that do one piece of work together: all run the same program on the same shared memory, and meet where one needs
 * what others have done. Every thread comes to every meeting, in the same order; where one fails, all do.
 */
import { invariant } from '../../../shared/errors/secateur-error.ts';
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

/**
 * The same memory each time. Threads that were sent shared memory hold on to it until they collect garbage, which those that
 * only wait and multiply hardly ever do: what is new for every matrix would pile up there.
 */
export class ReusedFloats {
  private readonly lengthMax: number;
  private buffer: SharedArrayBuffer | null = null;

  constructor(lengthMax: number) {
    this.lengthMax = lengthMax;
  }

  /** Zeros that all threads see, in the place of those that were given before. */
  readonly zeros = (length: number): Float32Array => {
    invariant(length <= this.lengthMax, 'there is room for as many');
    this.buffer ??= new SharedArrayBuffer(4 * this.lengthMax);
    return new Float32Array(this.buffer, 0, length).fill(0);
  };
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
