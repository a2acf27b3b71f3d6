/** `--set spec.pruning.sparsity=0.6`: values of the command line put over those of the manifest file. */

import { isMapping } from './expectation.ts';
import { type ManifestPath, showPath } from './manifest-path.ts';
import { readYaml } from './read-yaml.ts';

/** One `--set`, understood. */
export interface SetOverride {
  /** As the user wrote it, for errors. */
  readonly text: string;
  readonly path: ManifestPath;
  /** null removes what stands there. */
  readonly value: unknown;
}

export interface OverriddenValue {
  readonly value: unknown;
  readonly applied: readonly SetOverride[];
  /** What could not be applied, each line complete. */
  readonly problems: readonly string[];
}

/** Text of an override that an error repeats. */
const SHOWN_LENGTH_MAX = 120;
const FORM = 'expected path=value such as spec.pruning.sparsity=0.6';
/** A key after a dot (or first), an index `[0]`, or a key in quotes `["team/name"]`. */
const SEGMENT = /(?:^|\.)([^.[\]="\s]+)|\[(\d{1,6})\]|\["((?:[^"\\]|\\["\\])*)"\]/y;

/** How an error names a `--set`. */
export function showOverride(text: string): string {
  return `--set ${text.length > SHOWN_LENGTH_MAX ? `${text.slice(0, SHOWN_LENGTH_MAX)}…` : text}`;
}

/** Applies the overrides in order to a copy of the document's value. Whether the result is a manifest, the schema says. */
export function applyOverrides(value: unknown, texts: readonly string[]): OverriddenValue {
  const applied: SetOverride[] = [];
  const problems: string[] = [];
  let current = value;
  for (const text of texts) {
    const override = parseOverride(text);
    const next = 'problem' in override ? override : setIn(current, override.path, override.value);
    if ('problem' in next) {
      problems.push(`${showOverride(text)}: ${next.problem}`);
    } else if ('path' in override) {
      current = next.value;
      applied.push(override);
    }
  }
  return { value: current, applied, problems };
}

/** Understands one `path=value`; the value is YAML, so that 0.6 is a number and [a.txt, b.txt] a list. */
export function parseOverride(text: string): SetOverride | { readonly problem: string } {
  const segments: (string | number)[] = [];
  SEGMENT.lastIndex = 0;
  let end = 0;
  for (let match = SEGMENT.exec(text); match !== null; match = SEGMENT.exec(text)) {
    const [, key, index, quoted] = match;
    segments.push(index === undefined ? (key ?? quoted!.replaceAll(/\\(.)/g, '$1')) : Number(index));
    end = SEGMENT.lastIndex;
  }
  const startsWithKey = typeof segments[0] === 'string' && !text.startsWith('.');
  if (!startsWithKey || text[end] !== '=') return { problem: FORM };
  if (segments.includes('__proto__')) return { problem: 'unknown key "__proto__"' };
  const valueText = text.slice(end + 1);
  if (valueText.trim() === '') {
    return { problem: 'the value is empty; write =null to remove the key, =\'""\' for an empty text' };
  }
  const { value, problems } = readYaml(valueText);
  if (problems.length > 0) return { problem: `the value is ${problems.map((problem) => problem.message).join('; ')}` };
  return { text, path: segments, value };
}

type Container = Record<string, unknown> | unknown[];

/** `root` with `value` at `path`, copied along the path; mappings that are missing on the way are made. */
function setIn(root: unknown, path: ManifestPath, value: unknown): { value: unknown } | { problem: string } {
  const newRoot = copyOf(root, path[0]);
  if (newRoot === undefined) return { problem: 'the manifest is not a mapping' };
  let parent = newRoot;
  for (let depth = 0; depth < path.length; depth += 1) {
    const segment = path[depth]!;
    const misfit = whyMisfit(parent, segment, path.slice(0, depth));
    if (misfit !== undefined) return { problem: misfit };
    if (depth === path.length - 1) break;
    const child = copyOf(own(parent, segment), path[depth + 1]);
    if (child === undefined)
      return { problem: `${showPath(path.slice(0, depth + 1))} is neither a mapping nor a list` };
    put(parent, segment, child);
    parent = child;
  }
  const last = path.at(-1)!;
  if (value !== null) put(parent, last, value);
  else if (Array.isArray(parent)) parent.splice(Number(last), 1);
  else delete parent[last];
  return { value: newRoot };
}

/** A shallow copy of a container; a new one, of the kind that `next` asks for, where there is nothing. */
function copyOf(value: unknown, next: string | number | undefined): Container | undefined {
  if (value === undefined || value === null) return typeof next === 'number' ? [] : {};
  if (Array.isArray(value)) return [...value];
  return isMapping(value) ? { ...value } : undefined;
}

function whyMisfit(parent: Container, segment: string | number, path: ManifestPath): string | undefined {
  if (!Array.isArray(parent)) {
    return typeof segment === 'number' ? `${showPath(path)} is a mapping, it has no [${segment}]` : undefined;
  }
  if (typeof segment === 'string')
    return `${showPath(path)} is a list, expected an index such as [0], found "${segment}"`;
  if (segment <= parent.length) return undefined;
  return `${showPath(path)} has ${parent.length} entries; the next index is [${parent.length}]`;
}

function own(parent: Container, segment: string | number): unknown {
  return Object.hasOwn(parent, segment) ? (parent as Record<string | number, unknown>)[segment] : undefined;
}

function put(parent: Container, segment: string | number, value: unknown): void {
  (parent as Record<string | number, unknown>)[segment] = value;
}
