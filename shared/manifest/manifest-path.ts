/** Paths into a manifest: `spec.calibration.text[0]`, `metadata.labels["team/name"]`. */

export type ManifestPath = readonly (string | number)[];

const PLAIN_KEY = /^[A-Za-z0-9_-]+$/;
/** A user's key can be a megabyte; an error shows its beginning. */
const SHOWN_KEY_LENGTH_MAX = 60;

export function showPath(path: ManifestPath): string {
  return path.reduce<string>((shown, segment) => {
    if (typeof segment === 'number') return `${shown}[${segment}]`;
    const key = segment.length > SHOWN_KEY_LENGTH_MAX ? `${segment.slice(0, SHOWN_KEY_LENGTH_MAX)}…` : segment;
    if (!PLAIN_KEY.test(key)) return `${shown}[${JSON.stringify(key)}]`;
    return shown === '' ? key : `${shown}.${key}`;
  }, '');
}

export function startsWithPath(path: ManifestPath, prefix: ManifestPath): boolean {
  return prefix.length <= path.length && prefix.every((segment, index) => segment === path[index]);
}

/** What stands at a path of a plain value; undefined where there is nothing. Only own properties count. */
export function valueAt(root: unknown, path: ManifestPath): unknown {
  let current = root;
  for (const segment of path) {
    if (typeof current !== 'object' || current === null || !Object.hasOwn(current, segment)) return undefined;
    current = (current as Record<string | number, unknown>)[segment];
  }
  return current;
}

/** One thing that is wrong with a manifest, before it is given a line and a column. */
export interface ManifestProblem {
  readonly path: ManifestPath;
  /** What an editor should jump to: the value, its key (unknown keys), or the mapping it is missing from. */
  readonly anchor: 'value' | 'key' | 'parent';
  readonly message: string;
}
