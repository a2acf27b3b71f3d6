/** From values to places on an axis, and the ticks of that axis. Pure. */

export interface Scale {
  /** Of a value between the ends: 0 … 1. What lies outside is put at the nearer end. */
  at(value: number): number;
  /** In growing order, the ends of the axis among them. */
  readonly ticks: readonly number[];
}

/** From 0 to the first tick at or above `max`: ticks are 1, 2 or 5 times a power of ten apart, about `count` of them. */
export function linearScale(max: number, count = 4): Scale {
  const end = Number.isFinite(max) && max > 0 ? max : 1;
  const step = niceStep(end / count);
  const steps = Math.max(1, Math.ceil(end / step - 1e-9));
  return {
    at: (value) => clamp(value / (steps * step)),
    ticks: Array.from({ length: steps + 1 }, (_, index) => rounded(index * step)),
  };
}

/** Shares, from 0 to 1. */
export const SHARE_SCALE: Scale = { at: clamp, ticks: [0, 0.5, 1] };

/**
 * Whole decades around the positive ones of the values; null where none is positive. A zero is at the low end, as is all
 * that is below it.
 */
export function logScale(values: Iterable<number>): Scale | null {
  let [low, high] = [Number.POSITIVE_INFINITY, 0];
  for (const value of values) {
    if (!Number.isFinite(value) || value <= 0) continue;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  if (high === 0) return null;
  const first = Math.floor(Math.log10(low) + 1e-9);
  const last = Math.max(first + 1, Math.ceil(Math.log10(high) - 1e-9));
  return {
    at: (value) => (value <= 0 ? 0 : clamp((Math.log10(value) - first) / (last - first))),
    ticks: Array.from({ length: last - first + 1 }, (_, index) => 10 ** (first + index)),
  };
}

function niceStep(least: number): number {
  const power = 10 ** Math.floor(Math.log10(least));
  const factor = [1, 2, 5, 10].find((each) => each * power >= least * (1 - 1e-9)) ?? 10;
  return factor * power;
}

/** Without the noise of binary fractions: 0.3, not 0.30000000000000004. */
function rounded(value: number): number {
  return Number(value.toPrecision(12));
}

function clamp(share: number): number {
  return Number.isNaN(share) ? 0 : Math.min(1, Math.max(0, share));
}
