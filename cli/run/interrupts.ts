/** Ctrl-C of a run: the first asks for an orderly end, the second for one at once. */

export interface Interrupts {
  readonly first: Promise<void>;
  readonly second: Promise<void>;
  /** Gives the signals back to their default. */
  release(): void;
}

export function takeInterrupts(): Interrupts {
  const first = Promise.withResolvers<void>();
  const second = Promise.withResolvers<void>();
  let count = 0;
  const take = (): void => {
    count += 1;
    if (count === 1) first.resolve();
    else second.resolve();
  };
  const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
  for (const signal of signals) process.on(signal, take);
  return {
    first: first.promise,
    second: second.promise,
    release: () => {
      for (const signal of signals) process.off(signal, take);
    },
  };
}
