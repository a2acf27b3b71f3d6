/** Opens a safetensors file and reads its header, never its tensors. */
import { constants } from 'node:fs';
import { type FileHandle, open, realpath } from 'node:fs/promises';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import { HEADER_SIZE_BYTES_MAX, invalid, LENGTH_PREFIX_BYTES, parseHeader } from './header.ts';

export interface SafetensorsFile {
  /** Absolute, links resolved. */
  readonly file: string;
  readonly sizeBytes: number;
  /** Where the data begins. */
  readonly dataOffset: number;
  readonly metadata: Readonly<Record<string, string>>;
  /** In the order of their offsets. */
  readonly tensors: ReadonlyMap<string, TensorLocation>;
}

/** @throws SourceMissing (no such file, a link to nothing), SafetensorsInvalid, StorageFailed */
export async function readSafetensorsHeader(path: string): Promise<SafetensorsFile> {
  const file = await resolve(path);
  // Without O_NONBLOCK, opening a FIFO would wait for ever.
  const handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK).catch((thrown: unknown) => {
    throw toSecateurError(thrown);
  });
  try {
    return await read(handle, file);
  } finally {
    await handle.close();
  }
}

async function resolve(path: string): Promise<string> {
  try {
    return await realpath(path);
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code;
    const why =
      code === 'ELOOP'
        ? 'its links lead in a circle'
        : code === 'ENOENT'
          ? 'it, or what it links to, does not exist'
          : (cause as Error).message;
    throw new SecateurError('SourceMissing', `${path}: expected a safetensors file; ${why}.`, {
      cause,
      details: { file: path },
    });
  }
}

async function read(handle: FileHandle, file: string): Promise<SafetensorsFile> {
  const found = await handle.stat();
  if (!found.isFile()) throw invalid(file, 'expected a regular file; found a directory, pipe or device');
  const sizeBytes = found.size;
  if (sizeBytes < LENGTH_PREFIX_BYTES) {
    throw invalid(
      file,
      `expected at least ${LENGTH_PREFIX_BYTES} bytes; found ${sizeBytes}. It was cut short: fetch it again`,
    );
  }
  const prefix = await readExactly(handle, 0, LENGTH_PREFIX_BYTES, file);
  // Compared as BigInt: a hostile length need not fit a number, and nothing is allocated before it is checked.
  const length = prefix.readBigUInt64LE();
  if (length > BigInt(HEADER_SIZE_BYTES_MAX)) {
    throw invalid(
      file,
      `expected a header of at most ${HEADER_SIZE_BYTES_MAX} bytes; its length says ${length}. It may be no safetensors file`,
    );
  }
  if (length > BigInt(sizeBytes - LENGTH_PREFIX_BYTES)) {
    throw invalid(
      file,
      `expected a header of ${length} bytes; the file has ${sizeBytes - LENGTH_PREFIX_BYTES} behind its length. It was cut short: fetch it again`,
    );
  }
  const headerBytes = Number(length);
  const dataOffset = LENGTH_PREFIX_BYTES + headerBytes;
  const json = await readExactly(handle, LENGTH_PREFIX_BYTES, headerBytes, file);
  const { metadata, tensors } = parseHeader(json, sizeBytes - dataOffset, file);
  const located = tensors.map(({ name, dtype, shape, begin, end }): [string, TensorLocation] => [
    name,
    { name, dtype, shape, file, offset: dataOffset + begin, sizeBytes: end - begin },
  ]);
  return { file, sizeBytes, dataOffset, metadata, tensors: new Map(located) };
}

async function readExactly(handle: FileHandle, position: number, length: number, file: string): Promise<Buffer> {
  const bytes = Buffer.alloc(length);
  let done = 0;
  while (done < length) {
    const { bytesRead } = await handle.read(bytes, done, length - done, position + done);
    if (bytesRead === 0) throw invalid(file, 'it ended while it was read. It is being changed: wait, then try again');
    done += bytesRead;
  }
  return bytes;
}
