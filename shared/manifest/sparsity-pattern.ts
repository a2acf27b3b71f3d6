/** N:M patterns as a manifest writes them: `2:4` keeps 2 of every group of 4 consecutive input features of a row. */

/** Of every `group` consecutive weights of a row, `keep` stay. 1 <= keep < group. */
export interface SparsityPattern {
  readonly keep: number;
  readonly group: number;
}

/** A kernel holds one group at a time; hardware knows 2:4, research goes to a few hundred. */
export const PATTERN_GROUP_MAX = 1024;

/** The text of a pattern, for the JSON Schema too. */
export const PATTERN_TEXT = /^[1-9]\d{0,3}:[1-9]\d{0,3}$/;

/** `2:4` as { keep: 2, group: 4 }; undefined where the text is no pattern or keep and group are out of range. */
export function parsePattern(text: string): SparsityPattern | undefined {
  if (!PATTERN_TEXT.test(text)) return undefined;
  const [keep, group] = text.split(':').map(Number) as [number, number];
  return keep < group && group <= PATTERN_GROUP_MAX ? { keep, group } : undefined;
}

/** The pattern that a nearly right text was meant to be: `4:2`, `2/4`, `2 : 4`, `2-4` are `2:4`. */
export function nearestPattern(text: string): string | undefined {
  const parts = /^\s*0*(\d{1,4})\s*[:/x-]\s*0*(\d{1,4})\s*$/i.exec(text);
  if (parts === null) return undefined;
  const [keep, group] = [Number(parts[1]), Number(parts[2])].sort((a, b) => a - b) as [number, number];
  const candidate = `${keep}:${group}`;
  return parsePattern(candidate) === undefined ? undefined : candidate;
}
