/**
 * The JSON header of a safetensors file, from a stranger. Pure.
 *
 * The rules are those of the format's Rust crate (huggingface/safetensors, safetensors/src/tensor.rs: `read_metadata`
 * and `Metadata::validate`): what it refuses is refused here. Stricter than the crate: a key twice in one object, more
 * than SHAPE_RANK_MAX dimensions, dimensions and sizes from 2^53 up, dtypes below a byte. As in the crate, unknown
 * fields of a tensor are ignored and `__metadata__` may be null.
 */

import { SecateurError } from '../errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES, type Dtype, isDtype, isSubByteDtype } from './dtype.ts';
import { JsonReader, showText } from './json-reader.ts';

/** The crate's own limit (`MAX_HEADER_SIZE`). */
export const HEADER_SIZE_BYTES_MAX = 100_000_000;
/** torch's and numpy's own limit: no writer makes more, and a hostile shape cannot fill memory with dimensions. */
export const SHAPE_RANK_MAX = 64;
/** The one key of the header that names no tensor. */
export const METADATA_KEY = '__metadata__';

const ADVICE = 'Download or convert the file again';

export interface HeaderTensor {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** First byte and the byte after the last, counted from the end of the header. */
  readonly dataOffsets: readonly [begin: number, end: number];
}

export interface SafetensorsHeader {
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their bytes; together they cover the data without holes or overlap. */
  readonly tensors: readonly HeaderTensor[];
}

/**
 * Reads and checks a header.
 *
 * @param jsonBytes the header without its 8 bytes of length; may end in spaces
 * @param dataSizeBytes how many bytes follow the header in the file
 * @param file names the file in errors; nothing is read
 * @throws SafetensorsInvalid
 */
export function parseHeader(jsonBytes: Uint8Array, dataSizeBytes: number, file: string): SafetensorsHeader {
  if (jsonBytes.length > HEADER_SIZE_BYTES_MAX) {
    throw safetensorsInvalid(
      file,
      `expected a header of at most ${HEADER_SIZE_BYTES_MAX} bytes; found ${jsonBytes.length}`,
    );
  }
  if (jsonBytes[0] !== 0x7b) {
    const found = jsonBytes.length === 0 ? 'none' : showText(Buffer.from(jsonBytes.subarray(0, 8)).toString('latin1'));
    throw safetensorsInvalid(file, `expected a header that begins with "{"; found ${found}`);
  }
  const reader = new JsonReader(jsonBytes, (problem) => safetensorsInvalid(file, `header: ${problem}`));
  const tensors: HeaderTensor[] = [];
  let metadata: Readonly<Record<string, string>> = {};
  reader.object((name) => {
    if (name === METADATA_KEY) metadata = readMetadata(reader);
    else tensors.push(readTensor(reader, name, file));
  });
  reader.end();
  tensors.sort((a, b) => a.dataOffsets[0] - b.dataOffsets[0] || a.dataOffsets[1] - b.dataOffsets[1]);
  checkCoverage(tensors, dataSizeBytes, file);
  return { metadata, tensors };
}

/** A SafetensorsInvalid that names the file and says what to do. */
export function safetensorsInvalid(file: string, problem: string, tensor?: string): SecateurError {
  return new SecateurError('SafetensorsInvalid', `${file}: ${problem}. ${ADVICE}.`, {
    details: { file, ...(tensor === undefined ? {} : { tensor }) },
  });
}

/**
 * Elements of a shape, or the bytes they take when `size` is the bytes of one; undefined at 2^53 or beyond. Multiplied
 * in order, as the crate does: a 0 behind an overflow does not save the shape.
 */
export function shapeSize(shape: readonly number[], size: number): number | undefined {
  let product = 1;
  for (const dimension of [...shape, size]) {
    product *= dimension;
    if (!Number.isSafeInteger(product)) return undefined;
  }
  return product;
}

function readMetadata(reader: JsonReader): Readonly<Record<string, string>> {
  const entries: [string, string][] = [];
  if (reader.kind() === 'literal') reader.null();
  else reader.object((key) => entries.push([key, reader.string()]));
  // fromEntries defines own properties: a key `__proto__` is a key like any other.
  return Object.fromEntries(entries);
}

function readTensor(reader: JsonReader, name: string, file: string): HeaderTensor {
  let dtype: Dtype | undefined;
  let shape: readonly number[] | undefined;
  let dataOffsets: readonly number[] | undefined;
  reader.object((field) => {
    if (field === 'dtype') dtype = checkDtype(reader.string(), name, file);
    else if (field === 'shape') shape = readIntegers(reader, SHAPE_RANK_MAX);
    else if (field === 'data_offsets') dataOffsets = readIntegers(reader, 2);
    else reader.skip();
  });
  const missing = Object.entries({ dtype, shape, data_offsets: dataOffsets }).find(([, value]) => value === undefined);
  if (dtype === undefined || shape === undefined || dataOffsets === undefined) {
    throw tensorInvalid(file, name, `expected the fields dtype, shape and data_offsets; found no ${missing?.[0]}`);
  }
  const [begin, end] = dataOffsets;
  if (begin === undefined || end === undefined) {
    throw tensorInvalid(file, name, `expected data_offsets [begin, end]; found [${dataOffsets.join(', ')}]`);
  }
  checkSize(name, dtype, shape, begin, end, file);
  return { name, dtype, shape, dataOffsets: [begin, end] };
}

function readIntegers(reader: JsonReader, countMax: number): number[] {
  const integers: number[] = [];
  reader.array((index) => {
    if (index === countMax) throw reader.fail(`expected at most ${countMax} integers; found more`);
    integers.push(reader.integer());
  });
  return integers;
}

function checkDtype(found: string, name: string, file: string): Dtype {
  if (isDtype(found)) return found;
  if (isSubByteDtype(found)) {
    throw tensorInvalid(
      file,
      name,
      `expected a dtype of whole bytes; found ${found}, whose elements share bytes. secateur reads no quantized weights: use the checkpoint in BF16, F16 or F32`,
    );
  }
  const known = Object.keys(DTYPE_SIZE_BYTES).join(', ');
  throw tensorInvalid(file, name, `expected a dtype of ${known}; found ${showText(found)}`);
}

function checkSize(
  name: string,
  dtype: Dtype,
  shape: readonly number[],
  begin: number,
  end: number,
  file: string,
): void {
  const what = `${dtype} [${shape.join(', ')}]`;
  if (begin > end) {
    throw tensorInvalid(
      file,
      name,
      `expected data_offsets [begin, end] with begin at most end; found [${begin}, ${end}]`,
    );
  }
  const expected = shapeSize(shape, DTYPE_SIZE_BYTES[dtype]);
  if (expected === undefined) throw tensorInvalid(file, name, `expected fewer than 2^53 bytes; found ${what}`);
  if (end - begin !== expected) {
    throw tensorInvalid(
      file,
      name,
      `expected data_offsets that span ${expected} bytes, the size of ${what}; found [${begin}, ${end}], ${end - begin} bytes`,
    );
  }
}

/** Every byte of the data belongs to exactly one tensor. `tensors` are sorted by their offsets. */
function checkCoverage(tensors: readonly HeaderTensor[], dataSizeBytes: number, file: string): void {
  let covered = 0;
  let previous = 'the header';
  for (const { name, dataOffsets } of tensors) {
    const [begin, end] = dataOffsets;
    if (begin !== covered) {
      const found = `data_offsets [${begin}, ${end}], ${begin < covered ? 'an overlap' : 'a hole'} of ${Math.abs(begin - covered)} bytes`;
      throw tensorInvalid(
        file,
        name,
        `expected to begin at byte ${covered} of the data, behind ${previous}; found ${found}`,
      );
    }
    if (end > dataSizeBytes) {
      const problem = `expected data_offsets within the ${dataSizeBytes} bytes of data; found [${begin}, ${end}]: the file is cut short or the header is wrong`;
      throw tensorInvalid(file, name, problem);
    }
    covered = end;
    previous = showText(name);
  }
  if (covered !== dataSizeBytes) {
    throw safetensorsInvalid(
      file,
      `expected ${covered} bytes of data, all that its tensors take; found ${dataSizeBytes}: ${dataSizeBytes - covered} bytes at the end belong to no tensor`,
    );
  }
}

function tensorInvalid(file: string, tensor: string, problem: string): SecateurError {
  return safetensorsInvalid(file, `tensor ${showText(tensor)}: ${problem}`, tensor.slice(0, 1000));
}
