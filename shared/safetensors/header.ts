/**
 * The header of a safetensors file, checked by the rules of the format's Rust crate (0.4 and later): what that refuses,
 * this refuses. Pure: bytes in, tensors out.
 *
 *     u64 little-endian length N | N bytes of JSON that begin with "{" | data
 *
 * The tensors' data_offsets count from the beginning of the data; together they cover it without hole or overlap.
 */
import { SecateurError } from '../errors/secateur-error.ts';
import { parseStrictJson, type StrictJson, StrictJsonError, type StrictJsonObject } from '../json/strict-json.ts';
import { DTYPE_SIZE_BYTES, type Dtype, isDtype } from './dtype.ts';

/** The format's own limit: a longer header is an attack, not a checkpoint. */
export const HEADER_SIZE_BYTES_MAX = 100_000_000;
export const LENGTH_PREFIX_BYTES = 8;
const METADATA_KEY = '__metadata__';

export interface HeaderTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Counted from the beginning of the data. */
  readonly begin: number;
  readonly end: number;
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their offsets. */
  readonly tensors: readonly HeaderTensor[];
}

/**
 * @param jsonBytes the N bytes behind the length prefix
 * @param dataSizeBytes all that follows them
 * @throws SafetensorsInvalid naming the file, the tensor, what was expected and what was found
 */
export function parseHeader(jsonBytes: Uint8Array, dataSizeBytes: number, file: string): SafetensorsHeader {
  const root = parseJson(jsonBytes, file);
  const metadata: Record<string, string> = Object.create(null);
  const tensors: HeaderTensor[] = [];
  for (const [name, value] of Object.entries(root)) {
    if (name === METADATA_KEY) Object.assign(metadata, parseMetadata(value, file));
    else tensors.push(parseTensor(name, value, file));
  }
  tensors.sort((a, b) => a.begin - b.begin || a.end - b.end);
  checkCoverage(tensors, dataSizeBytes, file);
  return { metadata, tensors };
}

function parseJson(jsonBytes: Uint8Array, file: string): StrictJsonObject {
  if (jsonBytes[0] !== 0x7b) throw invalid(file, 'the header must begin with "{"');
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(jsonBytes);
  } catch (cause) {
    throw invalid(file, 'the header is no valid UTF-8', cause);
  }
  try {
    return parseStrictJson(text) as StrictJsonObject;
  } catch (cause) {
    if (!(cause instanceof StrictJsonError)) throw cause;
    throw invalid(file, `the header is no valid JSON: ${cause.message}`, cause);
  }
}

function parseMetadata(value: StrictJson, file: string): Record<string, string> {
  if (!isObject(value))
    throw invalid(file, `${METADATA_KEY}: expected a mapping from texts to texts; found ${show(value)}`);
  for (const [key, text] of Object.entries(value)) {
    if (typeof text !== 'string') throw invalid(file, `${METADATA_KEY}.${key}: expected a text; found ${show(text)}`);
  }
  return value as Record<string, string>;
}

function parseTensor(name: string, value: StrictJson, file: string): HeaderTensor {
  const fail = (what: string): SecateurError => invalid(file, `tensor ${JSON.stringify(name)}: ${what}`);
  if (!isObject(value)) throw fail(`expected {dtype, shape, data_offsets}; found ${show(value)}`);
  const { dtype, shape, data_offsets: offsets, ...others } = value;
  const unknown = Object.keys(others);
  if (unknown.length > 0) throw fail(`expected dtype, shape and data_offsets only; found also ${unknown.join(', ')}`);
  if (!isDtype(dtype)) {
    throw fail(`dtype: expected one of ${Object.keys(DTYPE_SIZE_BYTES).join(', ')}; found ${show(dtype)}`);
  }
  if (!Array.isArray(shape) || !shape.every(isCount)) {
    throw fail(`shape: expected a list of whole numbers from 0; found ${show(shape)}`);
  }
  if (!Array.isArray(offsets) || offsets.length !== 2 || !offsets.every(isCount)) {
    throw fail(`data_offsets: expected [begin, end], whole numbers from 0; found ${show(offsets)}`);
  }
  const [begin, end] = offsets as [number, number];
  const sizeBytes = (shape as number[]).reduce((product, size) => product * size, DTYPE_SIZE_BYTES[dtype]);
  if (!Number.isSafeInteger(sizeBytes)) throw fail(`shape: [${shape.join(', ')}] overflows`);
  if (begin > end) throw fail(`data_offsets: expected begin ≤ end; found [${begin}, ${end}]`);
  if (end - begin !== sizeBytes) {
    throw fail(`data_offsets: expected ${sizeBytes} bytes for ${dtype} [${shape.join(', ')}]; found ${end - begin}`);
  }
  return { name, dtype, shape: shape as number[], begin, end };
}

function checkCoverage(tensors: readonly HeaderTensor[], dataSizeBytes: number, file: string): void {
  let covered = 0;
  for (const { name, begin, end } of tensors) {
    const what = begin < covered ? 'overlaps the tensor before it' : begin > covered ? 'leaves a hole before it' : null;
    if (what !== null) {
      throw invalid(file, `tensor ${JSON.stringify(name)}: ${what}: expected to begin at ${covered}; found ${begin}`);
    }
    if (end > dataSizeBytes) {
      throw invalid(
        file,
        `tensor ${JSON.stringify(name)}: ends at ${end}; the file has ${dataSizeBytes} bytes of data. It was cut short: fetch it again`,
      );
    }
    covered = end;
  }
  if (covered !== dataSizeBytes) {
    throw invalid(
      file,
      `expected the file to end with its last tensor, ${covered} bytes of data; found ${dataSizeBytes}`,
    );
  }
}

function isObject(value: StrictJson | undefined): value is StrictJsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isCount(value: StrictJson): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function show(value: StrictJson | undefined): string {
  const text = value === undefined ? 'nothing' : JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 57)}…` : text;
}

export function invalid(file: string, what: string, cause?: unknown): SecateurError {
  return new SecateurError('SafetensorsInvalid', `${file}: ${what}.`, { cause, details: { file } });
}
