/** How long to wait before trying again: exponential, capped, with full jitter so that many coordinators spread out. */

export interface RetryPolicy {
  /** The upper end of the first wait. */
  readonly initialMs: number;
  /** The upper end of every later wait. */
  readonly maxMs: number;
}

/** NATS comes back within seconds of an election or a restart: soon at first, then every ten seconds at most. */
export const OUTBOX_RETRY: RetryPolicy = { initialMs: 250, maxMs: 10_000 };

/** A share of each wait is never jittered away, so that a failing attempt cannot become a busy loop. */
const FLOOR_SHARE = 0.5;

/**
 * The wait after failure number `attempt` (0 for the first), in milliseconds: between half of and the whole
 * min(maxMs, initialMs * 2^attempt). `random` is in [0, 1).
 */
export function retryDelayMs(policy: RetryPolicy, attempt: number, random: () => number): number {
  // 2^30 waits are far above any cap; larger exponents would only lead to Infinity.
  const ceilingMs = Math.min(policy.maxMs, policy.initialMs * 2 ** Math.min(attempt, 30));
  return ceilingMs * (FLOOR_SHARE + (1 - FLOOR_SHARE) * random());
}
