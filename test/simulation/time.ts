/**
 * Simulated time: one queue of things that will happen, and processes that things happen to.
 *
 * Invariants:
 *  1. Everything goes through the queue: what is due at the same moment happens in the order in which it was asked for.
 *  2. Between two things that happen, every microtask runs to its end: an `await` in the code under test takes no time.
 *  3. To a dead process nothing happens any more; to a paused one it happens, in order, when it goes on.
 */
import type { Timer, Timers } from '../../shared/timers.ts';

/** The wall clock at the begin of a simulation. */
const EPOCH_MS = Date.UTC(2026, 0, 1);

interface Due {
  readonly atMs: number;
  readonly order: number;
  readonly process: SimulatedProcess | null;
  readonly run: () => void;
  cancelled: boolean;
}

export class SimulatedTime {
  nowMs = 0;
  /** How many things have happened. */
  count = 0;
  private readonly heap: Due[] = [];
  private order = 0;

  /** `process`: whom it happens to; null for what happens whoever lives. */
  after(ms: number, process: SimulatedProcess | null, run: () => void): Timer {
    const due: Due = { atMs: this.nowMs + Math.max(0, ms), order: this.order++, process, run, cancelled: false };
    this.push(due);
    return {
      clear: () => {
        due.cancelled = true;
      },
    };
  }

  /** Lets things happen until `isDone`, or until nothing is due before `limitMs`. */
  async run(isDone: () => boolean, limitMs: number): Promise<void> {
    while (!isDone()) {
      const due = this.heap[0];
      if (due === undefined || due.atMs > limitMs) {
        this.nowMs = Math.max(this.nowMs, limitMs);
        return;
      }
      this.pop();
      if (due.cancelled) continue;
      this.nowMs = due.atMs;
      if (due.process === null) due.run();
      else if (!due.process.happen(due)) continue;
      this.count += 1;
      await microtasks();
    }
  }

  private push(due: Due): void {
    const { heap } = this;
    let index = heap.push(due) - 1;
    while (index > 0) {
      const parent = (index - 1) >> 1;
      if (isBefore(heap[parent] as Due, due)) break;
      heap[index] = heap[parent] as Due;
      index = parent;
    }
    heap[index] = due;
  }

  private pop(): void {
    const { heap } = this;
    const last = heap.pop() as Due;
    if (heap.length === 0) return;
    let index = 0;
    for (;;) {
      let child = 2 * index + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1] as Due, heap[child] as Due)) child += 1;
      if (isBefore(last, heap[child] as Due)) break;
      heap[index] = heap[child] as Due;
      index = child;
    }
    heap[index] = last;
  }
}

function isBefore(a: Due, b: Due): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

function microtasks(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** A process of the simulated cluster: what it waits for dies with it. */
export class SimulatedProcess {
  readonly name: string;
  isAlive = true;
  /** How far this machine's wall clock is off. */
  clockOffMs = 0;
  private readonly time: SimulatedTime;
  private readonly startedMs: number;
  isPaused = false;
  private deferred: Due[] = [];
  private readonly atEnd: (() => void)[] = [];

  constructor(time: SimulatedTime, name: string) {
    this.time = time;
    this.name = name;
    this.startedMs = time.nowMs;
  }

  /** False when nothing happened: it is dead, or will see it later. */
  happen(due: Due): boolean {
    if (!this.isAlive) return false;
    if (this.isPaused) {
      this.deferred.push(due);
      return false;
    }
    due.run();
    return true;
  }

  after(ms: number, run: () => void): Timer {
    return this.time.after(ms, this, run);
  }

  /** Runs when this process ends, however it does. */
  onEnd(run: () => void): void {
    this.atEnd.push(run);
  }

  /** As SIGKILL: at once, without a word. */
  kill(): void {
    if (!this.isAlive) return;
    this.isAlive = false;
    this.deferred = [];
    for (const run of this.atEnd) run();
  }

  /** As SIGSTOP and SIGCONT, or a machine that swaps: it lives, and does nothing. */
  pause(ms: number): void {
    if (!this.isAlive || this.isPaused) return;
    this.isPaused = true;
    this.time.after(ms, null, () => {
      this.isPaused = false;
      const waiting = this.deferred;
      this.deferred = [];
      for (const due of waiting) {
        const timer = this.time.after(0, this, () => {
          if (!due.cancelled) due.run();
        });
        if (due.cancelled) timer.clear();
      }
    });
  }

  readonly timers: Timers = {
    now: () => EPOCH_MS + Math.floor(this.time.nowMs) + this.clockOffMs,
    monotonicMs: () => this.time.nowMs - this.startedMs,
    setTimeout: (run, ms) => this.after(ms, run),
    setInterval: (run, ms) => {
      let next: Timer;
      const again = (): void => {
        next = this.after(ms, again);
        run();
      };
      next = this.after(ms, again);
      return { clear: () => next.clear() };
    },
  };
}
