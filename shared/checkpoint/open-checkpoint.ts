/**
 * Opens a Hugging Face checkpoint folder: configuration, shards, where every tensor stands, which files go along.
 * Reads headers and small JSON files, never weights. What is wrong with the folder is found here, before any work.
 */

import { readdir, stat } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import { JsonReader } from '../safetensors/json-reader.ts';
import { readSafetensorsHeader, type SafetensorsFile } from '../safetensors/read-header.ts';
import { isAuxiliaryFile, isWeightFile } from './auxiliary-files.ts';
import { checkpointInvalid, collectTensors, listNames } from './collect-tensors.ts';
import { settleBounded } from './settle-bounded.ts';
import { readSmallFile } from './source-file.ts';
import type { TensorLocation } from './tensor-location.ts';
import { parseWeightMap, WEIGHT_MAP_SIZE_BYTES_MAX, type WeightMap } from './weight-map.ts';

const CONFIG_FILE = 'config.json';
const WEIGHT_MAP_FILE = 'model.safetensors.index.json';
const SINGLE_SHARD_FILE = 'model.safetensors';

/** A config.json has a few kilobytes; with the module lists of quantized models, hundreds. */
const CONFIG_SIZE_BYTES_MAX = 16 * 1024 * 1024;
/** Headers read at once: hides the latency of a network file system, bounds memory at 8 of the largest headers. */
const HEADER_CONCURRENCY = 8;

interface CheckpointShard {
  /** The file's name in the folder. */
  readonly file: string;
  /** Absolute, with every link resolved: the `file` of its tensors' locations. */
  readonly path: string;
  readonly sizeBytes: number;
}

export interface Checkpoint {
  /** Absolute; links in it are not resolved. */
  readonly directory: string;
  readonly config: Record<string, unknown>;
  /** Sorted by name. */
  readonly shards: readonly CheckpointShard[];
  /** By name, in the order of shards and bytes. */
  readonly tensors: ReadonlyMap<string, TensorLocation>;
  /** Bytes of all tensors: what `total_size` of an index means. */
  readonly totalSizeBytes: number;
  /** The name of the index in the folder; undefined where the checkpoint is one file. */
  readonly weightMapFile: string | undefined;
  /** Names of the files to carry over to the output, sorted. Files of subfolders are not among them. */
  readonly auxiliaryFiles: readonly string[];
  readonly warnings: readonly string[];
}

/**
 * Opens a checkpoint.
 *
 * @throws SourceMissing (no such folder), CheckpointInvalid (its files do not make a checkpoint), SafetensorsInvalid,
 * StorageFailed
 */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const root = resolve(directory);
  const names = await listFolder(root);
  const config = await readConfig(root, names);
  const warnings: string[] = [];
  const weightMap = await readWeightMap(root, names);
  const files = weightMap === undefined ? [singleShard(root, names)] : [...new Set(weightMap.shardOf.values())].sort();
  const opened = await readShards(root, files);
  const tensors = collectTensors(join(root, WEIGHT_MAP_FILE), files, opened, weightMap?.shardOf);
  const totalSizeBytes = [...tensors.values()].reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  if (tensors.size === 0) {
    throw checkpointInvalid(root, `expected weights; found no tensor in ${listNames(files)}. Download it again`);
  }
  if (weightMap !== undefined) warnings.push(...weightMapWarnings(root, names, files, weightMap, totalSizeBytes));
  return {
    directory: root,
    config,
    shards: opened.map(({ file: path, sizeBytes }, index) => ({ file: files[index] as string, path, sizeBytes })),
    tensors,
    totalSizeBytes,
    weightMapFile: weightMap === undefined ? undefined : WEIGHT_MAP_FILE,
    auxiliaryFiles: await auxiliaryFiles(root, names),
    warnings,
  };
}

async function listFolder(root: string): Promise<string[]> {
  try {
    return (await readdir(root)).sort();
  } catch (cause) {
    const errno = (cause as NodeJS.ErrnoException).code;
    const found = { ENOENT: 'nothing there', ENOTDIR: 'a file', ELOOP: 'a loop of links' }[errno ?? ''];
    if (found === undefined) throw toSecateurError(cause);
    throw new SecateurError(
      'SourceMissing',
      `${root}: expected the folder of a checkpoint; found ${found}. Give the folder that holds config.json.`,
      { cause, details: { directory: root } },
    );
  }
}

async function readConfig(root: string, names: readonly string[]): Promise<Record<string, unknown>> {
  const file = join(root, CONFIG_FILE);
  if (!names.includes(CONFIG_FILE)) {
    throw checkpointInvalid(
      file,
      'expected the configuration of the model; found no such file. Download the whole checkpoint, or give the folder that holds config.json',
    );
  }
  const bytes = await readSmallFile(file, CONFIG_SIZE_BYTES_MAX, 'CheckpointInvalid').catch(linkAsCheckpointInvalid);
  // The strict reader only looks: it bounds the nesting, which code that walks the configuration relies on.
  const reader = new JsonReader(bytes, (problem) => checkpointInvalid(file, `${problem}. Download it again`));
  if (reader.kind() !== 'object') throw reader.fail('expected a JSON object; found another value');
  reader.skip();
  reader.end();
  return JSON.parse(Buffer.from(bytes).toString('utf8')) as Record<string, unknown>;
}

async function readWeightMap(root: string, names: readonly string[]): Promise<WeightMap | undefined> {
  if (!names.includes(WEIGHT_MAP_FILE)) return undefined;
  const file = join(root, WEIGHT_MAP_FILE);
  const bytes = readSmallFile(file, WEIGHT_MAP_SIZE_BYTES_MAX, 'CheckpointInvalid').catch(linkAsCheckpointInvalid);
  return parseWeightMap(await bytes, file);
}

/** The name of the one shard of a checkpoint without index. */
function singleShard(root: string, names: readonly string[]): string {
  if (names.includes(SINGLE_SHARD_FILE)) return SINGLE_SHARD_FILE;
  const weights = names.filter((name) => isWeightFile(name) && !name.startsWith('.'));
  const safetensors = weights.filter((name) => name.endsWith('.safetensors'));
  const expected = `expected ${WEIGHT_MAP_FILE} or ${SINGLE_SHARD_FILE}`;
  if (safetensors.length > 0) {
    throw checkpointInvalid(
      root,
      `${expected}; found ${listNames(safetensors)} and no index. Download the index too, or rename a single file to ${SINGLE_SHARD_FILE}`,
    );
  }
  if (weights.length > 0) {
    throw checkpointInvalid(
      root,
      `${expected}; found weights in another format: ${listNames(weights)}. Convert them to safetensors (in transformers: from_pretrained, then save_pretrained)`,
    );
  }
  throw checkpointInvalid(root, `${expected}; found no weights. Download the whole checkpoint`);
}

/** Headers in the order of `files`. All that are missing are named together, else the first that is wrong. */
async function readShards(root: string, files: readonly string[]): Promise<SafetensorsFile[]> {
  const results = await settleBounded(files, HEADER_CONCURRENCY, (file) => readSafetensorsHeader(join(root, file)));
  const failures = results.flatMap((result, index) =>
    result.status === 'rejected' ? [{ file: files[index] as string, error: toSecateurError(result.reason) }] : [],
  );
  const missing = failures.filter(({ error }) => error.code === 'SourceMissing');
  const [first] = missing;
  if (first !== undefined) {
    const shards = missing.map(({ file }) => file);
    const message = `expected all ${files.length} shards; ${missing.length} cannot be opened: ${listNames(shards)} (${first.error.message}) Download them again`;
    throw checkpointInvalid(root, message, { cause: first.error, names: shards });
  }
  if (failures[0] !== undefined) throw failures[0].error;
  return results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
}

function weightMapWarnings(
  root: string,
  names: readonly string[],
  files: readonly string[],
  weightMap: WeightMap,
  totalSizeBytes: number,
): string[] {
  const warnings = [...weightMap.warnings];
  if (weightMap.totalSizeBytes !== undefined && weightMap.totalSizeBytes !== totalSizeBytes) {
    warnings.push(
      `${join(root, WEIGHT_MAP_FILE)}: metadata.total_size is ${weightMap.totalSizeBytes}, the tensors have ${totalSizeBytes} bytes; the latter is used`,
    );
  }
  const listed = new Set(files);
  const unlisted = names.filter((name) => name.endsWith('.safetensors') && !name.startsWith('.') && !listed.has(name));
  if (unlisted.length > 0) {
    warnings.push(`${root}: the index does not name ${listNames(unlisted)}: not read, not carried over`);
  }
  return warnings;
}

async function auxiliaryFiles(root: string, names: readonly string[]): Promise<string[]> {
  const files: string[] = [];
  for (const name of names.filter(isAuxiliaryFile)) {
    const path = join(root, name);
    try {
      if ((await stat(path)).isFile()) files.push(name);
    } catch (cause) {
      const errno = (cause as NodeJS.ErrnoException).code;
      if (errno !== 'ENOENT' && errno !== 'ELOOP') throw toSecateurError(cause);
      const found = errno === 'ELOOP' ? 'a loop of links' : 'a link to a file that is not there';
      throw checkpointInvalid(path, `expected a file; found ${found}. Download it again, or remove the link`, {
        cause,
      });
    }
  }
  return files;
}

/** A file whose name the folder has and that is not there is a broken link of this checkpoint. */
function linkAsCheckpointInvalid(thrown: unknown): never {
  if (!(thrown instanceof SecateurError) || thrown.code !== 'SourceMissing') throw thrown;
  throw new SecateurError('CheckpointInvalid', thrown.message, { cause: thrown, details: thrown.details });
}
