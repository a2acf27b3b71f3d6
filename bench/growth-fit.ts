/** Whether figures grow as they should: the slope of a straight line through their logarithms. Pure. */

/** What grows, beside what, and the exponents that pass. */
export interface Expectation {
  readonly what: string;
  readonly least: number;
  readonly most: number;
}

/**
 * b of y = a x^b, by least squares on the logarithms. xs, ys: as many, at least two different xs, all positive. 1: linear,
 * 2: quadratic, 0: constant.
 */
export function fitExponent(xs: readonly number[], ys: readonly number[]): number {
  const [logXs, logYs] = [xs.map(Math.log), ys.map(Math.log)];
  const [meanX, meanY] = [mean(logXs), mean(logYs)];
  const slope = (of: readonly number[], about: number): number =>
    of.reduce((sum, value, i) => sum + (value - about) * ((logXs[i] as number) - meanX), 0);
  return slope(logYs, meanY) / slope(logXs, meanX);
}

/** What is wrong with an exponent; null where nothing is. */
export function deviation({ what, least, most }: Expectation, exponent: number): string | null {
  if (exponent >= least && exponent <= most) return null;
  return `${what}: expected an exponent from ${least} to ${most}; found ${exponent.toFixed(2)}`;
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
