/** Time as a part is given it: a test or a simulation gives its own, and nothing waits for the machine's clock. */

export interface Timer {
  readonly clear: () => void;
}

export interface Timers {
  /** Milliseconds since 1970, as the machine has it: may jump. */
  now(): number;
  /** Milliseconds since any moment: never runs backwards. */
  monotonicMs(): number;
  setTimeout(run: () => void, ms: number): Timer;
  setInterval(run: () => void, ms: number): Timer;
}

export const SYSTEM_TIMERS: Timers = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  setTimeout: (run, ms) => {
    const timer = setTimeout(run, ms);
    return { clear: () => clearTimeout(timer) };
  },
  setInterval: (run, ms) => {
    const timer = setInterval(run, ms);
    return { clear: () => clearInterval(timer) };
  },
};
