/** Numbers of a report as people read them. Pure. */

/** What could not be measured, or stands in no record of that version. */
export const UNKNOWN = '–';

/** `0.0123`, `1.23e-7`: three digits, for what spans decades. */
export function showDecimal(value: number | null | undefined): string {
  if (value === null || value === undefined) return UNKNOWN;
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 0.001 && size < 100_000) return String(Number(value.toPrecision(4)));
  return value.toExponential(2).replace('e+', 'e');
}

/** The end of a decade: `1e-5`, `100`. */
export function showDecade(value: number): string {
  return value >= 0.01 && value < 10_000
    ? String(Number(value.toPrecision(3)))
    : value.toExponential(0).replace('e+', 'e');
}

/** A perplexity: `13.043`. */
export function showPerplexity(value: number | null): string {
  if (value === null) return UNKNOWN;
  return value < 100_000 ? value.toFixed(3) : value.toExponential(3).replace('e+', 'e');
}

/** Name inside a layer: mlp.down_proj */
export function linearName(tensor: string): string {
  return tensor.replace(/^.*?layers\.\d+\./, '').replace(/\.weight$/, '');
}

/** The last part of a path or location: what people call a file by. */
export function baseName(location: string): string {
  return location.replace(/\/+$/, '').split('/').at(-1) ?? location;
}
