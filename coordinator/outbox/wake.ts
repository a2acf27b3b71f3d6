/**
 * A bell for one sleeper: `ring` wakes the loop that waits, or the next one to wait where none does.
 *
 * Rings that come while nobody waits count as one: the loop looks at everything when it wakes, so it needs to know
 * only that something changed.
 */
export class Wake {
  #rung = false;
  #waiting: (() => void) | undefined;

  ring(): void {
    const waiting = this.#waiting;
    if (waiting === undefined) {
      this.#rung = true;
      return;
    }
    this.#waiting = undefined;
    waiting();
  }

  /** Resolves at the next ring, at once if it rang since the last wait, or when `atMostMs` have passed. */
  wait(atMostMs: number): Promise<void> {
    if (this.#rung || atMostMs <= 0) {
      this.#rung = false;
      return Promise.resolve();
    }
    return new Promise((resolve) => {
      const timer = setTimeout(() => {
        this.#waiting = undefined;
        resolve();
      }, atMostMs);
      // A process that has nothing else to do may end: the journal holds whatever was not sent.
      timer.unref();
      this.#waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
