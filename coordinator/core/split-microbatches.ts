/** Splits a pass among replicas that are not equally fast. Pure. */

/**
 * Whole microbatches for workers that need `loads[w]` before the first and `each[w]` for every one, so that the last of
 * them ends as early as can be. A worker that would not be ready before the others have ended gets none.
 */
export function splitMicrobatches(count: number, loads: readonly number[], each: readonly number[]): number[] {
  const within = (ms: number): number[] =>
    each.map((one, worker) => Math.min(count, Math.max(0, Math.floor((ms - (loads[worker] ?? 0)) / one))));
  let [low, high] = [0, Math.max(...each.map((one, worker) => (loads[worker] ?? 0) + count * one))];
  // Sixty halvings: as near as doubles can tell.
  for (let round = 0; round < 60; round++) {
    const middle = (low + high) / 2;
    if (total(within(middle)) >= count) high = middle;
    else low = middle;
  }
  const shares = within(high * (1 + 1e-9));
  // At the least such time whoever ends exactly then may have one too many: at most one each.
  const ends = shares.map((share, worker) => (share === 0 ? -1 : (loads[worker] ?? 0) + share * (each[worker] ?? 0)));
  const latest = shares.map((_, worker) => worker).sort((a, b) => (ends[b] ?? 0) - (ends[a] ?? 0) || b - a);
  for (const worker of latest.slice(0, total(shares) - count)) shares[worker] = (shares[worker] ?? 0) - 1;
  return shares;
}

function total(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0);
}
