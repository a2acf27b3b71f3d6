/**
 * A team of worker threads that meet by Atomics: see Team. A thread that waits sleeps.
 *
 * Invariants:
 *  1. The memory is new for every piece of work. `arrived` and `claimed` only grow, so every thread knows what they are
 *     when a meeting or a round of items is over.
 *  2. Who abandons a team adds more to `arrived` than all meetings ever will: nobody is left asleep, nobody goes on.
 */
import { invariant } from '../../shared/errors/secateur-error.ts';
import { TEAM_COUNTS_MAX, type Team } from '../methods/sparsegpt/team.ts';

/** Of one team, the same for all its threads. */
export interface TeamMemory {
  readonly size: number;
  /** Words, see CONTROL. */
  readonly control: Int32Array<SharedArrayBuffer>;
  /** Counts of each thread, [2, size, TEAM_COUNTS_MAX]: while one meeting's are read, the next one's are written. */
  readonly counts: Uint32Array<SharedArrayBuffer>;
}

const CONTROL = {
  /** Arrivals at all meetings so far. */
  arrived: 0,
  /** Claims of items in all rounds so far, those that found none left among them. */
  claimed: 1,
  /** Operations of all threads so far, in units of 2^20. */
  worked: 2,
} as const;
/** Operations that are counted as one. */
export const WORK_UNIT = 2 ** 20;
const ABANDONED = 2 ** 30;

/** Thrown on every thread that comes to a meeting of a team of which one failed. */
export class TeamAbandoned extends Error {}

export function createTeamMemory(size: number): TeamMemory {
  return {
    size,
    control: new Int32Array(new SharedArrayBuffer(4 * Object.keys(CONTROL).length)),
    counts: new Uint32Array(new SharedArrayBuffer(4 * 2 * size * TEAM_COUNTS_MAX)),
  };
}

/** Said by a thread that has done so many multiplications and additions. */
export function addWork({ control }: TeamMemory, units: number): void {
  Atomics.add(control, CONTROL.worked, units);
}

/** What all threads have done since the memory was made. */
export function workOf({ control }: TeamMemory): number {
  return Atomics.load(control, CONTROL.worked) * WORK_UNIT;
}

/** On a thread that failed, or for one that died. Once is enough; more do no harm. */
export function abandonTeam({ control }: TeamMemory): void {
  Atomics.or(control, CONTROL.arrived, ABANDONED);
  Atomics.notify(control, CONTROL.arrived);
}

export class SharedTeam implements Team {
  readonly size: number;
  private readonly memory: TeamMemory;
  private readonly index: number;
  /** Meetings so far. */
  private meetings = 0;
  /** Of these, sums. */
  private sums = 0;
  /** `claimed` when the round in hand began. */
  private claimedBefore = 0;

  constructor(memory: TeamMemory, index: number) {
    this.memory = memory;
    this.size = memory.size;
    this.index = index;
  }

  async share(count: number, work: (item: number) => Promise<void>): Promise<void> {
    while (true) {
      const item = Atomics.add(this.memory.control, CONTROL.claimed, 1) - this.claimedBefore;
      if (item >= count) break;
      await work(item);
    }
    // Each thread found none left once.
    this.claimedBefore += count + this.size;
    this.meet();
  }

  sum(counts: Uint32Array): void {
    invariant(counts.length <= TEAM_COUNTS_MAX, 'there is room for as many counts');
    const half = this.sums % 2;
    this.sums += 1;
    this.countsOf(half, this.index).set(counts);
    this.meet();
    counts.fill(0);
    for (let thread = 0; thread < this.size; thread++) {
      const others = this.countsOf(half, thread);
      for (let at = 0; at < counts.length; at++) counts[at] = (counts[at] as number) + (others[at] as number);
    }
  }

  private countsOf(half: number, thread: number): Uint32Array {
    const first = (half * this.size + thread) * TEAM_COUNTS_MAX;
    return this.memory.counts.subarray(first, first + TEAM_COUNTS_MAX);
  }

  /** Returns when every thread has come as often as this one. */
  private meet(): void {
    const { control } = this.memory;
    this.meetings += 1;
    const expected = this.meetings * this.size;
    let found = Atomics.add(control, CONTROL.arrived, 1) + 1;
    if (found === expected) Atomics.notify(control, CONTROL.arrived);
    while (found < expected) {
      Atomics.wait(control, CONTROL.arrived, found);
      found = Atomics.load(control, CONTROL.arrived);
    }
    if (found >= ABANDONED) throw new TeamAbandoned();
  }
}
