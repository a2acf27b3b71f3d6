/** The kinds of fields a manifest has, each with its range, its error wording and its hint; schema.ts puts them together. */

import { z } from 'zod';
import {
  didYouMean,
  expects,
  type Hint,
  isMapping,
  nearestHint,
  oneOf,
  quoteHint,
  showValue,
  unquoteHint,
} from './expectation.ts';
import { LAYER_INDEX_MAX, LAYER_RANGE_TEXT, parseLayerRange } from './layer-range.ts';
import { type LocationKind, locationProblem } from './location.ts';
import { nearestSize, parseSize, SIZE_PATTERN } from './size.ts';
import { nearestPattern, PATTERN_GROUP_MAX, PATTERN_TEXT, parsePattern } from './sparsity-pattern.ts';

const DNS_LABEL = /^[a-z0-9](?:[a-z0-9-]*[a-z0-9])?$/;
const LOCATION_LENGTH_MAX = 4096;
const LIST_LENGTH_MAX = 1000;
const GLOB_LENGTH_MAX = 256;

export const strict = <Shape extends z.core.$ZodLooseShape>(shape: Shape) =>
  z.strictObject(shape, { error: expects(`a mapping with the keys ${Object.keys(shape).join(', ')}`) });

export const words = <const Words extends readonly [string, ...string[]]>(names: Words) =>
  z.enum(names, { error: expects(oneOf(names), nearestHint(names)) });

export function integer(from: number, to: number) {
  const error = expects(`an integer from ${from} to ${to}`, unquoteHint);
  return z.int({ error }).min(from, { error }).max(to, { error });
}

export function bool() {
  return z.boolean({ error: expects('true or false') });
}

export function numberBetween(from: number, to: number) {
  const error = expects(`a number from ${from} to ${to}`, unquoteHint);
  return z.number({ error }).min(from, { error }).max(to, { error });
}

export function autoOrInteger(from: number, to: number) {
  const error = expects(`"auto" or an integer from ${from} to ${to}`, (found) => {
    return unquoteHint(found) ?? nearestHint(['auto'])(found);
  });
  return z.union([z.literal('auto', { error }), z.int({ error }).min(from, { error }).max(to, { error })], { error });
}

export function list<Item extends z.ZodType>(item: Item, what: string, minimum: number) {
  const error = expects(minimum === 0 ? `a list of ${what}` : `a list of one or more ${what}`, (found) =>
    typeof found === 'string' ? `write it as a list: [${showValue(found)}]` : undefined,
  );
  const tooLong = expects(`at most ${LIST_LENGTH_MAX} ${what}`);
  return z.array(item, { error }).min(minimum, { error }).max(LIST_LENGTH_MAX, { error: tooLong });
}

export function dnsLabel(lengthMax: number) {
  const what = `a DNS label (lower-case letters, digits and "-", at most ${lengthMax} characters)`;
  const error = expects(what, (found) => {
    if (typeof found !== 'string') return quoteHint(found);
    const folded = found
      .slice(0, 4 * lengthMax)
      .toLowerCase()
      .replaceAll(/[^a-z0-9]+/g, '-');
    const candidate = folded.slice(0, lengthMax).replaceAll(/^-+|-+$/g, '');
    return candidate === '' ? undefined : didYouMean(JSON.stringify(candidate));
  });
  return z.string({ error }).max(lengthMax, { error }).regex(DNS_LABEL, { error });
}

export function location(kind: LocationKind = 'file') {
  const error = expects('a path or a file URL such as file:///models/llama', (found) => {
    if (typeof found !== 'string') return quoteHint(found);
    if (found.length > LOCATION_LENGTH_MAX) return `at most ${LOCATION_LENGTH_MAX} characters`;
    return locationProblem(found, kind);
  });
  return z
    .string({ error })
    .min(1, { error })
    .max(LOCATION_LENGTH_MAX, { error })
    .refine((text) => locationProblem(text, kind) === undefined, { error });
}

/** Files that calibration text can come from; one document a file, or one a line. */
const TEXT_FILE = /\.(?:txt|md|jsonl)$/;

export function textLocation() {
  const error = expects('a file whose name ends in .txt, .md (one document) or .jsonl (a document a line)');
  // Only where it is a location at all: one error for one mistake.
  return location().refine((text) => TEXT_FILE.test(text) || locationProblem(text) !== undefined, { error });
}

export function glob() {
  const error = expects('a glob over names of linears such as "mlp.*" or "model.layers.0.*"', quoteHint);
  return z.string({ error }).min(1, { error }).max(GLOB_LENGTH_MAX, { error });
}

const sparsityHint: Hint = (found) => {
  if (typeof found === 'string') {
    const percent = /^\s*(\d{1,2}(?:\.\d+)?)\s*%\s*$/.exec(found)?.[1];
    return percent === undefined ? unquoteHint(found) : didYouMean(String(Number(percent) / 100));
  }
  if (typeof found !== 'number') return undefined;
  if (found > 1 && found < 100) return didYouMean(String(found / 100));
  return found === 1 || found === 100 ? 'sparsity 1 would leave nothing of the linear' : undefined;
};

export function sparsity() {
  const error = expects('a number from 0 up to, not including, 1 (the share of weights set to zero)', sparsityHint);
  return z.number({ error }).min(0, { error }).lt(1, { error });
}

export function ratio() {
  const error = expects('a number above 0, such as 1.3', unquoteHint);
  return z.number({ error }).gt(0, { error });
}

export function pattern() {
  const what = `a pattern "keep:group" with 1 <= keep < group <= ${PATTERN_GROUP_MAX}, such as "2:4"`;
  const error = expects(what, (found) => {
    const nearest = typeof found === 'string' ? nearestPattern(found) : undefined;
    return nearest === undefined ? undefined : didYouMean(JSON.stringify(nearest));
  });
  return z
    .string({ error })
    .regex(PATTERN_TEXT, { error })
    .refine((text) => parsePattern(text) !== undefined, { error });
}

export function layers() {
  const error = expects('a layer (3), a range with both ends ("0-3") or a list of those');
  const entry = z.union(
    [
      z.int({ error }).min(0, { error }).max(LAYER_INDEX_MAX, { error }),
      z
        .string({ error })
        .regex(LAYER_RANGE_TEXT, { error })
        .refine((text) => parseLayerRange(text) !== undefined, { error }),
    ],
    { error },
  );
  return z.union([entry, z.array(entry, { error }).min(1, { error }).max(LIST_LENGTH_MAX, { error })], { error });
}

export function maxShardSize() {
  const error = expects('a size such as "5GB", "500MB", "2GiB", or whole bytes', (found) => {
    const nearest = typeof found === 'string' ? nearestSize(found) : undefined;
    return nearest === undefined ? undefined : didYouMean(JSON.stringify(nearest));
  });
  const text = z
    .string({ error })
    .regex(SIZE_PATTERN, { error })
    .refine((size) => parseSize(size) !== undefined, { error });
  return z
    .union([z.int({ error }).min(1, { error }), text], { error })
    .transform((size) => (typeof size === 'number' ? size : parseSize(size)!));
}

/**
 * The rule "exactly one of two keys", for `refine`. It also runs where other fields of the mapping are wrong, so that
 * every error is told at once. explain-issues.ts finds the two names in `params` and words the error with its place.
 */
export function exactlyOne(first: string, second: string) {
  const count = (value: unknown) =>
    isMapping(value) ? [first, second].filter((key) => value[key] !== undefined).length : 0;
  return {
    check: (value: unknown) => count(value) === 1,
    rule: {
      params: { exactlyOneOf: [first, second] },
      error: `exactly one of "${first}" and "${second}"`,
      when: ({ value }: { value: unknown }) => isMapping(value),
    },
    jsonSchema: [{ required: [first] }, { required: [second] }],
  };
}

/** The rule "`key` goes with `companion`, not with `other`". Silent where both are given: that is one error already. */
export function onlyWith(key: string, companion: string, other: string) {
  return {
    check: (value: unknown) =>
      !isMapping(value) || value[key] === undefined || value[other] === undefined || value[companion] !== undefined,
    rule: {
      path: [key],
      error: `goes with "${companion}" only, and "${other}" is given; remove it`,
      when: ({ value }: { value: unknown }) => isMapping(value),
    },
  };
}

/** The rule "`key` needs `companion` beside it". */
export function needs(key: string, companion: string) {
  return {
    check: (value: unknown) => !isMapping(value) || value[key] === undefined || value[companion] !== undefined,
    rule: {
      path: [key],
      error: `needs "${companion}" beside it`,
      when: ({ value }: { value: unknown }) => isMapping(value),
    },
  };
}
