/** The wording of the manifest's errors: "expected …, found …; did you mean …?". */

import { nearestName } from './nearest-name.ts';

/** Longest piece of a user's value that an error repeats. */
const SHOWN_LENGTH_MAX = 60;

/** What zod tells an error function; `input` is what stood in the manifest. */
interface RaisedIssue {
  readonly code?: string | undefined;
  readonly input?: unknown;
}

export function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function shorten(text: string): string {
  return text.length <= SHOWN_LENGTH_MAX ? text : `${text.slice(0, SHOWN_LENGTH_MAX)}…`;
}

/** A value as an error shows it: bounded, on one line, and never recursing (an alias may make a value hold itself). */
export function showValue(value: unknown): string {
  if (value === null) return 'null (an empty value)';
  if (typeof value === 'string') {
    // Cut first: the value may be a megabyte, and the quotes belong around what is shown.
    return value.length <= SHOWN_LENGTH_MAX
      ? JSON.stringify(value)
      : `${JSON.stringify(value.slice(0, SHOWN_LENGTH_MAX))}… (${value.length} characters)`;
  }
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : `a list of ${value.length}`;
  if (isMapping(value)) {
    const keys = Object.keys(value);
    return keys.length === 0 ? 'an empty mapping' : `a mapping (${shorten(keys.join(', '))})`;
  }
  return String(value);
}

/** Names as prose: `"a"`, `"a" or "b"`, `"a", "b" or "c"`. */
export function oneOf(names: readonly string[]): string {
  const quoted = names.map((name) => JSON.stringify(name));
  return quoted.length <= 1 ? quoted.join('') : `${quoted.slice(0, -1).join(', ')} or ${quoted.at(-1)}`;
}

/** What a wrong value should perhaps have been, as a phrase without its semicolon; undefined where there is no telling. */
export type Hint = (found: unknown) => string | undefined;

/** An error function for zod that says what was expected, what was found, and perhaps what was meant. */
export function expects(what: string, hint?: Hint): (issue: RaisedIssue) => string | undefined {
  return (issue) => {
    // Unknown keys have their own wording, one error a key.
    if (issue.code === 'unrecognized_keys') return undefined;
    if (issue.input === undefined) return `missing; expected ${what}`;
    const found = `expected ${what}, found ${showValue(issue.input)}`;
    const meant = hint?.(issue.input);
    return meant === undefined ? found : `${found}; ${meant}`;
  };
}

export function didYouMean(candidate: string | undefined): string | undefined {
  return candidate === undefined ? undefined : `did you mean ${candidate}?`;
}

/** Hint for texts: YAML reads an unquoted 123 or true as something else. */
export function quoteHint(found: unknown): string | undefined {
  return typeof found === 'number' || typeof found === 'boolean' ? `write it in quotes: "${found}"` : undefined;
}

/** Hint for numbers: "128" in quotes is a text. */
export function unquoteHint(found: unknown): string | undefined {
  if (typeof found !== 'string' || found.trim() === '' || !Number.isFinite(Number(found))) return undefined;
  return `write it without quotes: ${Number(found)}`;
}

/** Hint for a few fixed words. */
export function nearestHint(names: readonly string[]): Hint {
  return (found) => {
    if (typeof found !== 'string') return undefined;
    const nearest = nearestName(found, names);
    return nearest === undefined ? undefined : didYouMean(JSON.stringify(nearest));
  };
}
