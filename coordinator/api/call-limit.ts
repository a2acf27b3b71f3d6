/**
 * How many calls of one kind may be under way, over all connections: a limit a connection alone bounds nothing, since
 * anybody may open another.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';

export class CallLimit {
  private readonly what: string;
  private readonly max: number;
  private count = 0;

  /** @param what the calls, in the plural */
  constructor(what: string, max: number) {
    this.what = what;
    this.max = max;
  }

  /** @returns what ends the call; ending it twice counts once. @throws LimitExceeded */
  enter(): () => void {
    if (this.count >= this.max) {
      throw new SecateurError(
        'LimitExceeded',
        `${this.count} ${this.what} are under way, and no more are taken. End some of them, or try again later.`,
        { retryable: true, details: { limit: this.max } },
      );
    }
    this.count += 1;
    let isOpen = true;
    return () => {
      if (isOpen) this.count -= 1;
      isOpen = false;
    };
  }
}
