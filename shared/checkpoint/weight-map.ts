/**
 * `model.safetensors.index.json`: which shard holds which tensor. From a stranger: a shard's name must be the plain name
 * of a file beside the index, or a download could read any file of the machine. Pure.
 */

import { SecateurError } from '../errors/secateur-error.ts';
import { JsonReader, showText } from '../safetensors/json-reader.ts';

/** As many bytes as a header may have; the largest published models need about 10 MB. */
export const WEIGHT_MAP_SIZE_BYTES_MAX = 100_000_000;

export interface WeightMap {
  /** The file name of the shard, by tensor, in the order of the text. */
  readonly shardOf: ReadonlyMap<string, string>;
  /** `metadata.total_size`, bytes of all tensors; undefined where absent or unusable. */
  readonly totalSizeBytes: number | undefined;
  readonly warnings: readonly string[];
}

/**
 * Reads a weight map.
 *
 * @param file names the index in errors; nothing is read
 * @throws CheckpointInvalid
 */
export function parseWeightMap(jsonBytes: Uint8Array, file: string): WeightMap {
  const reader = new JsonReader(jsonBytes, (problem) => invalid(file, problem));
  const shardOf = new Map<string, string>();
  const warnings: string[] = [];
  let totalSizeBytes: number | undefined;
  let hasWeightMap = false;
  reader.object((key) => {
    if (key === 'weight_map') {
      hasWeightMap = true;
      reader.object((tensor) => {
        const shard = reader.string();
        const problem = shardNameProblem(shard);
        if (problem !== undefined) throw reader.fail(`expected the name of a file beside the index; found ${problem}`);
        shardOf.set(tensor, shard);
      });
    } else if (key === 'metadata' && reader.kind() === 'object') {
      reader.object((field) => {
        if (field !== 'total_size') return reader.skip();
        const found = readTotalSize(reader);
        if (typeof found === 'number') totalSizeBytes = found;
        else warnings.push(`${file}: ${found}; it is not used`);
      });
    } else reader.skip();
  });
  reader.end();
  if (!hasWeightMap) throw invalid(file, 'expected a key weight_map; found none');
  if (shardOf.size === 0) throw invalid(file, 'expected at least one tensor in weight_map; found none');
  return { shardOf, totalSizeBytes, warnings };
}

/** Some tools write the total as 13476835328.0: any whole number is one. Others are the problem, as text. */
function readTotalSize(reader: JsonReader): number | string {
  const kind = reader.kind();
  if (kind !== 'number') {
    reader.skip();
    return `expected metadata.total_size to be a number of bytes; found another kind of value (${kind})`;
  }
  const value = reader.number();
  if (Number.isSafeInteger(value) && value >= 0) return value;
  return `expected metadata.total_size to be a whole number of bytes; found ${value}`;
}

/** Why a shard's name is none that may be opened; undefined where it is. Checked the same on every system. */
function shardNameProblem(name: string): string | undefined {
  const shown = showText(name);
  if (name === '') return 'an empty name';
  if (/[/\\]/.test(name)) return `${shown}, which has a slash or backslash`;
  if (name.includes('..')) return `${shown}, which has ".."`;
  if (/^[A-Za-z]:/.test(name)) return `${shown}, which has a drive`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: no file of a checkpoint has them in its name
  if (/[\u0000-\u001f\u007f]/.test(name)) return `${shown}, which has a control character`;
  if (name.startsWith('.')) return `${shown}, a hidden file`;
  if (!name.endsWith('.safetensors')) return `${shown}, which does not end in .safetensors`;
  return undefined;
}

function invalid(file: string, problem: string): SecateurError {
  return new SecateurError('CheckpointInvalid', `${file}: ${problem}. Download or write the index again.`, {
    details: { file },
  });
}
