/** All tensors of all shards, checked against the index: it and the shards must tell the same story. Pure. */

import { SecateurError } from '../errors/secateur-error.ts';
import { showText } from '../safetensors/json-reader.ts';
import type { SafetensorsFile } from '../safetensors/read-header.ts';
import type { TensorLocation } from './tensor-location.ts';

/** Names that a message shows; and names that an error's details keep. */
const SHOWN_NAMES_MAX = 10;
const DETAILED_NAMES_MAX = 1000;

/**
 * The tensors of the shards by name, in the order of shards and bytes.
 *
 * @param index names the index in errors
 * @param files the shards' names, `opened` their headers in the same order
 * @param shardOf the index's weight map; undefined where there is no index, and then one shard
 * @throws CheckpointInvalid naming every tensor that the index places where it is not, that no index names, or that
 * stands in two shards
 */
export function collectTensors(
  index: string,
  files: readonly string[],
  opened: readonly SafetensorsFile[],
  shardOf: ReadonlyMap<string, string> | undefined,
): ReadonlyMap<string, TensorLocation> {
  const tensors = new Map<string, TensorLocation>();
  const holder = new Map<string, string>();
  const doubled = new Set<string>();
  const [twice, unlisted, misplaced]: [string[], string[], string[]] = [[], [], []];
  for (const [position, { tensors: found }] of opened.entries()) {
    const file = files[position] as string;
    for (const [name, location] of found) {
      const before = holder.get(name);
      if (before !== undefined) {
        twice.push(`${name} (in ${before} and ${file})`);
        doubled.add(name);
      } else if (shardOf !== undefined && !shardOf.has(name)) unlisted.push(`${name} (in ${file})`);
      holder.set(name, file);
      tensors.set(name, location);
    }
  }
  for (const [name, file] of shardOf ?? []) {
    if (doubled.has(name)) continue;
    const found = holder.get(name);
    if (found === undefined) misplaced.push(`${name} (not in ${file})`);
    else if (found !== file) misplaced.push(`${name} (not in ${file} but in ${found})`);
  }
  const problems = [
    ...describe('the index places', misplaced),
    ...describe('the shards hold, and the index does not name,', unlisted),
    ...describe('two shards hold', twice),
  ];
  if (problems.length > 0) {
    const message = `expected the index and the shards to agree; found that ${problems.join('; ')}. Download index and shards again, from one revision`;
    throw checkpointInvalid(index, message, { names: [...misplaced, ...unlisted, ...twice] });
  }
  return tensors;
}

/** A CheckpointInvalid about a file or folder; `names` goes into the details. */
export function checkpointInvalid(
  path: string,
  problem: string,
  { cause, names }: { cause?: unknown; names?: readonly string[] } = {},
): SecateurError {
  const details = { path, ...(names === undefined ? {} : { names: names.slice(0, DETAILED_NAMES_MAX) }) };
  return new SecateurError('CheckpointInvalid', `${path}: ${problem}.`, { cause, details });
}

/** Names for a message: the first ones, and how many more there are. */
export function listNames(names: readonly string[]): string {
  const shown = names.slice(0, SHOWN_NAMES_MAX).map((name) => showText(name).slice(1, -1));
  const more = names.length - shown.length;
  return `${shown.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

function describe(what: string, tensors: readonly string[]): string[] {
  return tensors.length === 0 ? [] : [`${what} ${listNames(tensors)}`];
}
