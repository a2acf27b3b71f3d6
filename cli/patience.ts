/**
 * How a command that follows a job bears a coordinator that goes away: it tries again, with pauses that grow to a
 * ceiling and differ from one command to the next, until the outage has lasted too long.
 */
import { SecateurError } from '../shared/errors/secateur-error.ts';

/** A coordinator that is away longer is given up. */
const AWAY_MS_MAX = 120_000;
const PAUSE_FIRST_MS = 250;
const PAUSE_MAX_MS = 5_000;

/** Each is told once an outage. */
export interface OutageListener {
  away(why: string): void;
  back(): void;
}

export class Patience {
  private readonly listener: OutageListener;
  private readonly signal: AbortSignal | undefined;
  private heardMs = Date.now();
  private attempts = 0;
  private isAway = false;

  /** Whoever begins has just been answered. */
  constructor(listener: OutageListener, signal?: AbortSignal) {
    this.listener = listener;
    this.signal = signal;
  }

  /** The coordinator has answered: the outage, if there was one, is over. */
  heard(): void {
    this.heardMs = Date.now();
    this.attempts = 0;
    if (this.isAway) this.listener.back();
    this.isAway = false;
  }

  /** Returns when it is time to try again. @throws what was thrown, where another attempt would not help */
  async bear(thrown: unknown): Promise<void> {
    if (!isOutage(thrown) || this.signal?.aborted === true) throw thrown;
    if (Date.now() - this.heardMs >= AWAY_MS_MAX) {
      throw new SecateurError(
        'Unavailable',
        `${thrown.message} It has been away for ${AWAY_MS_MAX / 1000} s and is not waited for any longer; the job goes on when it is back.`,
        { cause: thrown, details: thrown.details, retryable: true },
      );
    }
    if (!this.isAway) this.listener.away(thrown.message);
    this.isAway = true;
    await this.pause();
  }

  /** Between two streams. */
  async pause(): Promise<void> {
    const ceiling = Math.min(PAUSE_MAX_MS, PAUSE_FIRST_MS * 2 ** this.attempts);
    this.attempts += 1;
    await new Promise((resolve) => setTimeout(resolve, ceiling * (0.5 + Math.random() / 2)));
  }
}

/** The coordinator stopped, or its machine went away. A stream that it cut is `Cancelled`. */
function isOutage(thrown: unknown): thrown is SecateurError {
  return (
    thrown instanceof SecateurError &&
    (thrown.code === 'Unavailable' || thrown.code === 'DeadlineExceeded' || thrown.code === 'Cancelled')
  );
}
