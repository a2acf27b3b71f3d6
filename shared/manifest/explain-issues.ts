/** What the schema found wrong, as problems in a person's words: one per mistake, each with the path it is at. */

import { z } from 'zod';
import { didYouMean, isMapping, oneOf } from './expectation.ts';
import { type ManifestPath, type ManifestProblem, showPath, valueAt } from './manifest-path.ts';
import { nearestName } from './nearest-name.ts';

/** All problems of a value that `schema` refused. */
export function explainIssues(
  schema: z.ZodType,
  value: unknown,
  issues: readonly z.core.$ZodIssue[],
): ManifestProblem[] {
  return issues.flatMap((issue) => explain(schema, value, issue, []));
}

function explain(
  schema: z.ZodType,
  root: unknown,
  issue: z.core.$ZodIssue,
  parentPath: ManifestPath,
): ManifestProblem[] {
  const path: ManifestPath = [
    ...parentPath,
    ...issue.path.map((part) => (typeof part === 'symbol' ? String(part) : part)),
  ];
  switch (issue.code) {
    case 'unrecognized_keys':
      return issue.keys.map((key) => unknownKey(keysAt(schema, path), [...path, key]));
    case 'invalid_key':
      return issue.issues.slice(0, 1).map(({ message }) => ({ path, anchor: 'key', message }));
    case 'invalid_union': {
      // Where one alternative fits but for something inside it, that is the mistake: [0, "x"] as layers.
      const inside = issue.errors.find((alternative) => alternative.every((nested) => nested.path.length > 0));
      if (inside !== undefined && inside.length > 0) {
        return inside.flatMap((nested) => explain(schema, root, nested, path));
      }
      break;
    }
    case 'custom': {
      const pair: unknown = issue.params?.exactlyOneOf;
      if (Array.isArray(pair)) return [exactlyOne(root, path, pair.map(String))];
      break;
    }
    default:
  }
  const anchor = valueAt(root, path) === undefined && path.length > 0 ? 'parent' : 'value';
  return [{ path, anchor, message: issue.message }];
}

function unknownKey(known: readonly string[], path: ManifestPath): ManifestProblem {
  const nearest = nearestName(String(path.at(-1)), known);
  const hint = nearest === undefined ? '' : `; ${didYouMean(JSON.stringify(nearest))}`;
  const message = `unknown key${hint === '' ? ';' : `${hint}`} known here: ${known.join(', ')}`;
  return { path, anchor: 'key', message };
}

/** Both or neither of two keys. Of both, the one named later is taken for the intruder, and told how to win. */
function exactlyOne(root: unknown, path: ManifestPath, names: readonly string[]): ManifestProblem {
  const mapping = valueAt(root, path);
  const present = isMapping(mapping) ? Object.keys(mapping).filter((key) => names.includes(key)) : [];
  if (present.length === 0) {
    return { path, anchor: 'key', message: `expected ${oneOf(names)}, found neither` };
  }
  const intruder = present.at(-1)!;
  const other = present.find((name) => name !== intruder)!;
  const removal = `--set ${showPath([...path, other])}=null`;
  const message = `expected ${oneOf(names)}, found both; remove one of them (on the command line: ${removal})`;
  return { path: [...path, intruder], anchor: 'key', message };
}

/** The keys that the schema knows in the mapping at `path`. */
function keysAt(schema: z.core.$ZodType, path: ManifestPath): string[] {
  if (schema instanceof z.ZodOptional || schema instanceof z.ZodDefault || schema instanceof z.ZodPrefault) {
    return keysAt(schema.unwrap(), path);
  }
  if (schema instanceof z.ZodPipe) return keysAt(schema.in, path);
  const [segment, ...rest] = path;
  if (schema instanceof z.ZodArray) return keysAt(schema.element, rest);
  if (!(schema instanceof z.ZodObject)) return [];
  if (segment === undefined) return Object.keys(schema.shape);
  const field: z.core.$ZodType | undefined = schema.shape[segment];
  return field === undefined ? [] : keysAt(field, rest);
}
