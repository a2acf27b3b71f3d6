/** Quantities as people read them: bytes, durations, rates, shares, counts. Pure. */

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'] as const;
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `1.5 GiB`: powers of 1024, three digits at most before the unit changes. */
export function showBytes(sizeBytes: number): string {
  let value = sizeBytes;
  let unit = 0;
  while (value >= 1000 && unit < BYTE_UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(value < 10 ? 2 : 1)} ${BYTE_UNITS[unit]}`;
}

/** `830 ms`, `12.3 s`, `4m 05s`, `2h 07m`, `3d 04h`. */
export function showDuration(durationMs: number): string {
  const ms = Math.max(0, Math.round(durationMs));
  if (ms < SECOND_MS) return `${ms} ms`;
  if (ms < MINUTE_MS) {
    const seconds = (ms / SECOND_MS).toFixed(1);
    return seconds === '60.0' ? '1m 00s' : `${seconds} s`;
  }
  const [unitMs, smallerMs, unit, smaller] =
    ms < HOUR_MS
      ? ([MINUTE_MS, SECOND_MS, 'm', 's'] as const)
      : ms < DAY_MS
        ? ([HOUR_MS, MINUTE_MS, 'h', 'm'] as const)
        : ([DAY_MS, HOUR_MS, 'd', 'h'] as const);
  const rest = Math.floor((ms % unitMs) / smallerMs);
  return `${Math.floor(ms / unitMs)}${unit} ${String(rest).padStart(2, '0')}${smaller}`;
}

/** `850`, `12.3k`, `4.56M`: for rates, where three digits say enough. */
export function showShort(value: number): string {
  if (value < 1000) return value < 10 && !Number.isInteger(value) ? value.toFixed(1) : String(Math.round(value));
  const [divisor, unit] = value < 1e6 ? [1e3, 'k'] : value < 1e9 ? [1e6, 'M'] : [1e9, 'G'];
  const scaled = value / divisor;
  return `${scaled.toFixed(scaled < 10 ? 2 : 1)}${unit}`;
}

/** `12 582 912`: exact, in groups of three. */
export function showCount(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}

/** `50.00 %` of a share between 0 and 1. */
export function showShare(share: number): string {
  return `${(share * 100).toFixed(2)} %`;
}
