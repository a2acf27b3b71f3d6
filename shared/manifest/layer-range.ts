/** Which decoder layers an override names: `3`, `"0-3"` (both ends included), or a list of those. */

export type LayerSelector = number | string | readonly (number | string)[];

export interface LayerRange {
  /** Index of the first decoder layer, from 0. */
  readonly first: number;
  /** Index of the last one, included. */
  readonly last: number;
}

/** More layers than any model has; a bound keeps a mistyped range from meaning something. */
export const LAYER_INDEX_MAX = 9_999;

/** The text of a range, for the JSON Schema too. */
export const LAYER_RANGE_TEXT = /^\d{1,4}(?:-\d{1,4})?$/;

/** `"0-3"`, `"3"` or `3` as a range; undefined where it is none, or runs backwards. */
export function parseLayerRange(entry: number | string): LayerRange | undefined {
  if (typeof entry === 'number') return { first: entry, last: entry };
  if (!LAYER_RANGE_TEXT.test(entry)) return undefined;
  const [first, last = first] = entry.split('-').map(Number) as [number, number?];
  return first <= last ? { first, last } : undefined;
}

/** The ranges of a selector that the schema has accepted. */
export function layerRanges(selector: LayerSelector): LayerRange[] {
  const entries = typeof selector === 'object' ? selector : [selector];
  return entries.flatMap((entry) => parseLayerRange(entry) ?? []);
}

/** Whether a selector that the schema has accepted names this layer. */
export function selectsLayer(selector: LayerSelector, layer: number): boolean {
  return layerRanges(selector).some((range) => range.first <= layer && layer <= range.last);
}
