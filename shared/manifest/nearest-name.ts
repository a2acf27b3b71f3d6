/** Finds the valid name that a wrong one was probably meant to be, for "did you mean" hints. */

/** Names longer than this are never compared: no valid name is, and the comparison is quadratic. */
const COMPARED_LENGTH_MAX = 128;

/**
 * Number of single-character insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b`
 * (Damerau-Levenshtein, optimal string alignment).
 */
export function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, column) => column);
  for (let row = 1; row <= a.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= b.length; column += 1) {
      const substitution = previous[column - 1]! + (a[row - 1] === b[column - 1] ? 0 : 1);
      let distance = Math.min(substitution, previous[column]! + 1, current[column - 1]! + 1);
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      if (swapped) distance = Math.min(distance, before[column - 2]! + 1);
      current.push(distance);
    }
    before = previous;
    previous = current;
  }
  return previous[b.length]!;
}

/**
 * The candidate nearest to `name` regardless of case, or undefined where none is near: a hint that is merely the least
 * bad candidate misleads. Near is a third of the name's letters; also a prefix of at least 3 letters.
 */
export function nearestName(name: string, candidates: Iterable<string>): string | undefined {
  if (name.length === 0 || name.length > COMPARED_LENGTH_MAX) return undefined;
  const wanted = name.toLowerCase();
  let nearest: string | undefined;
  let nearestDistance = Number.POSITIVE_INFINITY;
  for (const candidate of candidates) {
    if (candidate.length > COMPARED_LENGTH_MAX) continue;
    const offered = candidate.toLowerCase();
    const prefix = wanted.length >= 3 && (offered.startsWith(wanted) || wanted.startsWith(offered));
    const distance = editDistance(wanted, offered);
    const allowed = Math.max(1, Math.floor(Math.max(wanted.length, offered.length) / 3));
    if ((prefix || distance <= allowed) && distance < nearestDistance) {
      nearest = candidate;
      nearestDistance = distance;
    }
  }
  return nearest;
}
