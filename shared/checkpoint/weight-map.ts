/** `model.safetensors.index.json`: which shard holds which tensor. Pure. */
import { SecateurError } from '../errors/secateur-error.ts';
import { parseStrictJson, type StrictJson, StrictJsonError } from '../json/strict-json.ts';

export interface WeightMap {
  /** Tensor → basename of its shard. */
  readonly shardOf: ReadonlyMap<string, string>;
  /** As the index says, where it says so. */
  readonly totalSizeBytes: number | undefined;
}

/** @throws CheckpointInvalid naming the file and every name in it that is no plain file name */
export function parseWeightMap(text: string, file: string): WeightMap {
  const root = parse(text, file);
  const map = isObject(root) ? root.weight_map : undefined;
  if (!isObject(map)) throw invalid(file, `expected {"weight_map": {tensor: file}}; found ${show(root)}`);
  const shardOf = new Map<string, string>();
  const wrong: string[] = [];
  for (const [tensor, shard] of Object.entries(map)) {
    if (typeof shard !== 'string' || !isPlainName(shard)) wrong.push(`${JSON.stringify(tensor)} → ${show(shard)}`);
    else shardOf.set(tensor, shard);
  }
  if (wrong.length > 0) {
    throw invalid(
      file,
      `weight_map: expected names of files beside the index, without folders, ending in .safetensors; found ${wrong.slice(0, 5).join(', ')}${wrong.length > 5 ? ` and ${wrong.length - 5} more` : ''}`,
    );
  }
  if (shardOf.size === 0) throw invalid(file, 'weight_map: expected at least one tensor; found none');
  const metadata = (root as { metadata?: StrictJson }).metadata;
  const total = isObject(metadata) ? metadata.total_size : undefined;
  return { shardOf, totalSizeBytes: typeof total === 'number' ? total : undefined };
}

function parse(text: string, file: string): StrictJson {
  try {
    return parseStrictJson(text);
  } catch (cause) {
    if (!(cause instanceof StrictJsonError)) throw cause;
    throw invalid(file, `expected valid JSON; ${cause.message}`, cause);
  }
}

/** A file beside the index: no separator of any system, no "..", no drive, no control character, nothing hidden. */
function isPlainName(name: string): boolean {
  const hasControl = [...name].some((character) => character < ' ');
  return (
    name.endsWith('.safetensors') && name.length <= 255 && !name.startsWith('.') && !/[/\\:]/.test(name) && !hasControl
  );
}

function isObject(value: StrictJson | undefined): value is { [key: string]: StrictJson } {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function show(value: StrictJson): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

function invalid(file: string, what: string, cause?: unknown): SecateurError {
  return new SecateurError('CheckpointInvalid', `${file}: ${what}.`, { cause, details: { file } });
}
