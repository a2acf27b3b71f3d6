/** Reads and checks the header of a safetensors file on disk: never a byte of its data. */

import { openSourceFile, readFully } from '../checkpoint/source-file.ts';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { toSecateurError } from '../errors/secateur-error.ts';
import { HEADER_SIZE_BYTES_MAX, type HeaderTensor, parseHeader, safetensorsInvalid } from './header.ts';

/** The length of the header, an unsigned little-endian integer, stands before it. */
const LENGTH_SIZE_BYTES = 8;

export interface SafetensorsFile {
  /** Absolute path, with every link resolved. */
  readonly file: string;
  readonly sizeBytes: number;
  /** Where the data begins, counted from the beginning of the file. */
  readonly dataOffset: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** By name, in the order of their bytes. */
  readonly tensors: ReadonlyMap<string, TensorLocation>;
}

/**
 * Reads the header of a safetensors file. What the file says about its own length is believed only within its size.
 *
 * @throws SafetensorsInvalid, SourceMissing (no such file, a link to nothing), StorageFailed
 */
export async function readSafetensorsHeader(file: string): Promise<SafetensorsFile> {
  const { handle, path, sizeBytes } = await openSourceFile(file, 'SafetensorsInvalid');
  try {
    const read = async (position: number, length: number): Promise<Buffer> => {
      const bytes = Buffer.alloc(length);
      const found = await readFully(handle, bytes, position);
      if (found === length) return bytes;
      const problem = `expected ${length} bytes at byte ${position}; found ${found}: the file became shorter while it was read`;
      throw safetensorsInvalid(file, problem);
    };
    if (sizeBytes < LENGTH_SIZE_BYTES) {
      const problem = `expected a safetensors file, which begins with ${LENGTH_SIZE_BYTES} bytes of header length; found ${sizeBytes} bytes in all`;
      throw safetensorsInvalid(file, problem);
    }
    const length = (await read(0, LENGTH_SIZE_BYTES)).readBigUInt64LE();
    if (length > HEADER_SIZE_BYTES_MAX) {
      const problem = `expected a header of at most ${HEADER_SIZE_BYTES_MAX} bytes; found a length of ${length}: this is no safetensors file`;
      throw safetensorsInvalid(file, problem);
    }
    const dataOffset = LENGTH_SIZE_BYTES + Number(length);
    if (dataOffset > sizeBytes) {
      const problem = `expected a header of ${length} bytes; found ${sizeBytes - LENGTH_SIZE_BYTES}: the file is cut short`;
      throw safetensorsInvalid(file, problem);
    }
    const header = parseHeader(await read(LENGTH_SIZE_BYTES, Number(length)), sizeBytes - dataOffset, file);
    const tensors = new Map(header.tensors.map((tensor) => [tensor.name, locate(tensor, path, dataOffset)]));
    return { file: path, sizeBytes, dataOffset, metadata: header.metadata, tensors };
  } catch (thrown) {
    throw toSecateurError(thrown);
  } finally {
    await handle.close();
  }
}

function locate({ name, dtype, shape, dataOffsets }: HeaderTensor, file: string, dataOffset: number): TensorLocation {
  const [begin, end] = dataOffsets;
  return { name, dtype, shape, file, offset: dataOffset + begin, sizeBytes: end - begin };
}
