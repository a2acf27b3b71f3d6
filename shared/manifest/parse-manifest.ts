/**
 * Manifest text to a Manifest, or one error that lists every mistake with file, line, column, path, what was expected,
 * what was found and what was probably meant.
 */

import { SecateurError } from '../errors/secateur-error.ts';
import { isMapping, showValue } from './expectation.ts';
import { explainIssues } from './explain-issues.ts';
import { type ManifestPath, type ManifestProblem, showPath, startsWithPath } from './manifest-path.ts';
import { type Position, readYaml, type YamlText } from './read-yaml.ts';
import { type Manifest, manifestSchema } from './schema.ts';
import { applyOverrides, type SetOverride, showOverride } from './set-overrides.ts';

/** More than anybody reads; a file of another kind can have one mistake a line. */
const ERRORS_SHOWN_MAX = 50;

export interface ParseManifestOptions {
  /** `path=value` each, applied in order over the file (set-overrides.ts). */
  readonly set?: readonly string[];
}

/** An error line, and what it is sorted by: the file's own from top to bottom, then those of the command line. */
interface ErrorLine {
  readonly position: Position | undefined;
  readonly text: string;
}

/**
 * Parses and checks a manifest. Locations stay as written: see resolveLocations.
 *
 * @param text the file's content
 * @param file what errors call it, usually its path as the user gave it
 * @throws SecateurError ManifestInvalid; the message has one line an error, `details.errors` has the same lines
 */
export function parseManifest(text: string, file: string, options: ParseManifestOptions = {}): Manifest {
  const yaml = readYaml(text);
  const lines: ErrorLine[] = yaml.problems.map(({ position, message }) => ({
    position,
    text: `${showPlace(file, position)}: ${message}`,
  }));
  if (yaml.value === undefined) throw invalid(file, lines);
  if (!isMapping(yaml.value)) throw invalid(file, [...lines, notAMapping(file, yaml)]);

  const overridden = applyOverrides(yaml.value, options.set ?? []);
  lines.push(...overridden.problems.map((problem) => ({ position: undefined, text: problem })));
  const checked = manifestSchema.safeParse(overridden.value);
  if (!checked.success) {
    const problems = explainIssues(manifestSchema, overridden.value, checked.error.issues);
    lines.push(...problems.map((problem) => errorLine(problem, file, yaml, overridden.applied)));
  }
  if (lines.length > 0 || !checked.success) throw invalid(file, lines);
  return checked.data;
}

/** A path at the beginning of a line, as showPath writes plain ones. */
const LEADING_PATH = /^(spec(?:\.\w+|\[\d+\])+): /;

/**
 * Gives mistakes that were found later, against the model and the files, their places in the text: lines of
 * `details.errors` that begin with a path get file, line and column, or the `--set` that is to blame.
 *
 * @param thrown anything; what is no SecateurError with such lines is given back as it is
 */
export function locateErrors(thrown: unknown, text: string, file: string, set: readonly string[]): unknown {
  if (!(thrown instanceof SecateurError)) return thrown;
  const { errors } = thrown.details;
  if (!Array.isArray(errors) || !errors.some((line) => LEADING_PATH.test(line))) return thrown;
  const yaml = readYaml(text);
  const { applied } = isMapping(yaml.value) ? applyOverrides(yaml.value, set) : { applied: [] };
  const lines = errors.map((line): ErrorLine => {
    const path = LEADING_PATH.exec(line)?.[1];
    if (path === undefined) return { position: undefined, text: line };
    const message = line.slice(path.length + 2);
    return errorLine({ path: parsePath(path), anchor: 'value', message }, file, yaml, applied);
  });
  const located = invalid(file, lines);
  return new SecateurError(thrown.code, located.message, {
    cause: thrown,
    details: { ...thrown.details, ...located.details },
  });
}

function parsePath(path: string): ManifestPath {
  return [...path.matchAll(/\w+/g)].map(([segment]) => (/^\d+$/.test(segment) ? Number(segment) : segment));
}

function notAMapping(file: string, yaml: YamlText): ErrorLine {
  const position = yaml.positionOf([], 'value') ?? { line: 1, column: 1 };
  const expected = 'expected a manifest (a mapping with apiVersion, kind, metadata, spec)';
  const found = yaml.value === null ? 'an empty file' : showValue(yaml.value);
  return { position, text: `${showPlace(file, position)}: ${expected}, found ${found}` };
}

function showPlace(file: string, position: Position | undefined): string {
  return position === undefined ? file : `${file}:${position.line}:${position.column}`;
}

function errorLine(
  problem: ManifestProblem,
  file: string,
  yaml: YamlText,
  overrides: readonly SetOverride[],
): ErrorLine {
  const { position, override } = placeOf(problem, yaml, overrides);
  const place = override === undefined ? showPlace(file, position) : showOverride(override.text);
  const path = showPath(problem.path);
  return { position, text: `${place}: ${path === '' ? '' : `${path}: `}${problem.message}` };
}

/** The `--set` that is to blame, else the node of the file, else the nearest node around it. */
function placeOf(
  problem: ManifestProblem,
  yaml: YamlText,
  overrides: readonly SetOverride[],
): { position?: Position; override?: SetOverride } {
  const setHere = overrides.findLast((override) => startsWithPath(problem.path, override.path));
  if (setHere !== undefined) return { override: setHere };
  const missing = problem.anchor === 'parent';
  const anchorPath: ManifestPath = missing ? problem.path.slice(0, -1) : problem.path;
  // A mapping is best found by its key: the value of a block mapping begins a line further down.
  const part = problem.anchor === 'value' ? 'value' : 'key';
  const position = yaml.positionOf(anchorPath, part);
  if (position !== undefined) return { position };
  const setBelow = overrides.findLast((override) => startsWithPath(override.path, anchorPath));
  if (setBelow !== undefined) return { override: setBelow };
  for (let length = anchorPath.length - 1; length >= 0; length -= 1) {
    const around = yaml.positionOf(anchorPath.slice(0, length), 'key');
    if (around !== undefined) return { position: around };
  }
  return { position: { line: 1, column: 1 } };
}

function invalid(file: string, lines: readonly ErrorLine[]): SecateurError {
  const sorted = lines.toSorted((a, b) => {
    const [left, right] = [a.position, b.position].map((place) => place ?? { line: Number.MAX_VALUE, column: 0 });
    return left!.line - right!.line || left!.column - right!.column;
  });
  // Two rules can find the same mistake (no integer, and out of range): one line is enough.
  const texts = [...new Set(sorted.map((line) => line.text))];
  const errors = texts.slice(0, ERRORS_SHOWN_MAX);
  if (texts.length > errors.length) errors.push(`${file}: and ${texts.length - errors.length} more errors`);
  return new SecateurError('ManifestInvalid', errors.join('\n'), { details: { file, errors } });
}
