/**
 * Opens a Hugging Face checkpoint directory: configuration, shards, where every tensor stands, and which other files
 * belong to it. Reads headers only. Links are followed (the Hub's cache is made of them) and resolved once, here.
 */
import type { Dirent } from 'node:fs';
import { readdir, readFile, realpath, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import { readSafetensorsHeader, type SafetensorsFile } from '../safetensors/read-header.ts';
import type { TensorLocation } from './tensor-location.ts';
import { parseWeightMap } from './weight-map.ts';

const CONFIG_FILE = 'config.json';
const INDEX_FILE = 'model.safetensors.index.json';
const SINGLE_FILE = 'model.safetensors';
/** A configuration has kilobytes. */
const CONFIG_SIZE_BYTES_MAX = 4 * 1024 * 1024;
/** An index has about a hundred bytes a tensor. */
const INDEX_SIZE_BYTES_MAX = 64 * 1024 * 1024;
/** Headers read at a time: enough to hide a network file system's latency. */
const HEADERS_AT_ONCE = 8;
/** Weights in other formats, and other formats' indexes: not carried over, since they would not be pruned. */
const OTHER_WEIGHTS =
  /\.(safetensors|bin|pt|pth|gguf|ggml|onnx|onnx_data|msgpack|h5|ckpt|npz|tflite)(\.index\.json)?$/i;
const OWN_FILES = new Set(['secateur.json']);

export interface Shard {
  /** Name in the checkpoint's directory. */
  readonly file: string;
  /** Absolute, links resolved. */
  readonly path: string;
  readonly sizeBytes: number;
}

export interface Checkpoint {
  readonly directory: string;
  /** config.json as it stands. */
  readonly config: Record<string, unknown>;
  readonly shards: readonly Shard[];
  readonly tensors: ReadonlyMap<string, TensorLocation>;
  /** Of all tensors. */
  readonly totalSizeBytes: number;
  /** Undefined for a checkpoint of one file. */
  readonly weightMapFile: string | undefined;
  /** Names of the files to carry over: tokenizer, configurations, licence, model card. */
  readonly auxiliaryFiles: readonly string[];
  readonly warnings: readonly string[];
}

/** @throws SourceMissing, CheckpointInvalid, SafetensorsInvalid, StorageFailed */
export async function openCheckpoint(directory: string): Promise<Checkpoint> {
  const entries = await list(directory);
  const names = new Set(entries.map((entry) => entry.name));
  const config = await readConfig(directory, names);
  const index = names.has(INDEX_FILE) ? join(directory, INDEX_FILE) : undefined;
  const warnings: string[] = [];
  const found =
    index === undefined ? await openSingle(directory, names) : await openSharded(directory, index, warnings);
  const tensors = new Map(found.flatMap(({ header }) => [...header.tensors]));
  return {
    directory,
    config,
    shards: found.map(({ file, header }) => ({ file, path: header.file, sizeBytes: header.sizeBytes })),
    tensors,
    totalSizeBytes: [...tensors.values()].reduce((sum, tensor) => sum + tensor.sizeBytes, 0),
    weightMapFile: index,
    auxiliaryFiles: await auxiliaryFiles(directory, entries),
    warnings,
  };
}

interface OpenedShard {
  readonly file: string;
  readonly header: SafetensorsFile;
}

async function list(directory: string): Promise<Dirent[]> {
  try {
    return await readdir(directory, { withFileTypes: true });
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    if (code !== 'ENOENT' && code !== 'ENOTDIR' && code !== 'ELOOP') throw toSecateurError(cause);
    throw new SecateurError(
      'SourceMissing',
      `${directory}: expected a checkpoint directory; ${code === 'ENOTDIR' ? 'it is no directory' : 'it does not exist'}. Check spec.model.source.`,
      { cause, details: { directory } },
    );
  }
}

async function readConfig(directory: string, names: ReadonlySet<string>): Promise<Record<string, unknown>> {
  const file = join(directory, CONFIG_FILE);
  if (!names.has(CONFIG_FILE)) {
    throw invalid(
      file,
      `expected a ${CONFIG_FILE}; found none. A checkpoint directory as the Hugging Face Hub gives it has one`,
    );
  }
  const text = await readText(file, CONFIG_SIZE_BYTES_MAX);
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch (cause) {
    throw invalid(file, `expected valid JSON; ${(cause as Error).message}`, cause);
  }
  if (typeof config !== 'object' || config === null || Array.isArray(config))
    throw invalid(file, 'expected a JSON object');
  return config as Record<string, unknown>;
}

async function readText(file: string, sizeBytesMax: number): Promise<string> {
  try {
    const found = await stat(file);
    if (!found.isFile()) throw invalid(file, 'expected a regular file');
    if (found.size > sizeBytesMax) throw invalid(file, `expected at most ${sizeBytesMax} bytes; found ${found.size}`);
    return await readFile(file, 'utf8');
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
}

async function openSingle(directory: string, names: ReadonlySet<string>): Promise<OpenedShard[]> {
  if (names.has(SINGLE_FILE)) {
    return [{ file: SINGLE_FILE, header: await readSafetensorsHeader(join(directory, SINGLE_FILE)) }];
  }
  const shards = [...names].filter((name) => name.endsWith('.safetensors'));
  const pickles = [...names].filter((name) => /^pytorch_model.*\.bin$/.test(name));
  const why =
    shards.length > 0
      ? `found ${shards.slice(0, 3).join(', ')} but no index: fetch ${INDEX_FILE} too`
      : pickles.length > 0
        ? `found ${pickles[0]}: pickled weights are not read. Convert them (save_pretrained(..., safe_serialization=True)), or fetch the model's safetensors`
        : 'found neither';
  throw invalid(directory, `expected ${SINGLE_FILE}, or shards with ${INDEX_FILE}; ${why}`);
}

async function openSharded(directory: string, index: string, warnings: string[]): Promise<OpenedShard[]> {
  const { shardOf, totalSizeBytes } = parseWeightMap(await readText(index, INDEX_SIZE_BYTES_MAX), index);
  const files = [...new Set(shardOf.values())].sort();
  const opened: OpenedShard[] = [];
  for (let first = 0; first < files.length; first += HEADERS_AT_ONCE) {
    const batch = files.slice(first, first + HEADERS_AT_ONCE);
    opened.push(
      ...(await Promise.all(
        batch.map(async (file) => ({ file, header: await readSafetensorsHeader(join(directory, file)) })),
      )),
    );
  }
  checkAgainstIndex(index, shardOf, opened);
  const total = opened
    .flatMap(({ header }) => [...header.tensors.values()])
    .reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
  if (totalSizeBytes !== undefined && totalSizeBytes !== total) {
    warnings.push(`${INDEX_FILE} says total_size ${totalSizeBytes}; the tensors have ${total} bytes`);
  }
  return opened;
}

/** Index and shards must say the same: every disagreement in one error. */
function checkAgainstIndex(index: string, shardOf: ReadonlyMap<string, string>, opened: readonly OpenedShard[]): void {
  const problems: string[] = [];
  const seenIn = new Map<string, string>();
  for (const { file, header } of opened) {
    for (const name of header.tensors.keys()) {
      const other = seenIn.get(name);
      if (other !== undefined) problems.push(`${name} stands in ${other} and in ${file}`);
      else if (!shardOf.has(name)) problems.push(`${name} stands in ${file} but not in the index`);
      seenIn.set(name, file);
    }
  }
  for (const [name, shard] of shardOf) {
    const file = seenIn.get(name);
    if (file === undefined) problems.push(`${name} is not in ${shard}`);
    else if (file !== shard) problems.push(`${name} is in ${file}, not in ${shard}`);
  }
  if (problems.length === 0) return;
  const more = problems.length > 10 ? ` and ${problems.length - 10} more` : '';
  throw invalid(
    index,
    `the index and the shards disagree: ${problems.slice(0, 10).join('; ')}${more}. Fetch the checkpoint again`,
  );
}

async function auxiliaryFiles(directory: string, entries: readonly Dirent[]): Promise<string[]> {
  const files: string[] = [];
  for (const { name } of entries) {
    if (name.startsWith('.') || OTHER_WEIGHTS.test(name) || OWN_FILES.has(name)) continue;
    const isFile = await realpath(join(directory, name)).then(
      async (path) => (await stat(path)).isFile(),
      () => false, // A dangling link beside the checkpoint is nothing to carry over.
    );
    if (isFile) files.push(basename(name));
  }
  return files.sort();
}

function invalid(file: string, what: string, cause?: unknown): SecateurError {
  return new SecateurError('CheckpointInvalid', `${file}: ${what}.`, { cause, details: { file } });
}
