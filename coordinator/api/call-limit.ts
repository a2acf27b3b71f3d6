/**
 * How many calls of one kind may be under way, over all connections: a limit a connection alone bounds nothing, since
 * anybody may open another.
 */
import { type ErrorCode, SecateurError } from '../../shared/errors/secateur-error.ts';

export class CallLimit {
  private readonly what: string;
  private readonly max: number;
  private readonly code: ErrorCode;
  private count = 0;

  /**
   * @param what the calls, in the plural
   * @param code what one too many is told: programs that wait by themselves wait at Unavailable
   */
  constructor(what: string, max: number, code: 'LimitExceeded' | 'Unavailable' = 'LimitExceeded') {
    this.what = what;
    this.max = max;
    this.code = code;
  }

  /** @returns what ends the call; ending it twice counts once. @throws LimitExceeded, or Unavailable */
  enter(): () => void {
    if (this.count >= this.max) {
      throw new SecateurError(
        this.code,
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
