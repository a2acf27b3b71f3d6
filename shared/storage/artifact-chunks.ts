/** A file as a sequence of chunks with checksums, and back. Both ends of both directions use this. */
import type { FileHandle } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { SecateurError } from '../errors/secateur-error.ts';
import { CHUNK_SIZE_BYTES_MAX } from '../rpc/channel.ts';
import type { ArtifactChunk, ArtifactChunk__Output } from '../rpc/generated/secateur/v1/ArtifactChunk.ts';

/** What is sent; up to CHUNK_SIZE_BYTES_MAX is taken. As fast as the largest and half the memory under way. */
const SENT_CHUNK_SIZE_BYTES = 256 * 1024;

export interface ByteRange {
  readonly offset: number;
  readonly length: number;
}

/**
 * A range of a file in order, in chunks. An empty range has no chunks.
 *
 * @param label for messages
 * @throws SourceChanged where the file ends inside the range
 */
export async function* readChunks(handle: FileHandle, range: ByteRange, label: string): AsyncGenerator<ArtifactChunk> {
  const end = range.offset + range.length;
  for (let offset = range.offset; offset < end; ) {
    // A new buffer a chunk: the transport takes it in its own time.
    const data = Buffer.allocUnsafeSlow(Math.min(SENT_CHUNK_SIZE_BYTES, end - offset));
    await fill(handle, data, offset, label);
    yield { offset, data, crc32: crc32(data) };
    offset += data.length;
  }
}

async function fill(handle: FileHandle, data: Buffer, offset: number, label: string): Promise<void> {
  for (let done = 0; done < data.length; ) {
    const { bytesRead } = await handle.read(data, done, data.length - done, offset + done);
    if (bytesRead === 0) {
      throw new SecateurError(
        'SourceChanged',
        `${label}: ends at byte ${offset + done}; it was cut short while it was read`,
        {
          details: { file: label },
        },
      );
    }
    done += bytesRead;
  }
}

/**
 * Checks a chunk that was received, before a byte of it is used.
 *
 * @param end where the file, or the asked range, ends; null where that is not known
 * @returns its bytes
 * @throws ChecksumMismatch, ArgumentInvalid
 */
export function checkChunk(
  chunk: ArtifactChunk__Output,
  expectedOffset: number,
  end: number | null,
  label: string,
): Buffer {
  const { offset, data } = chunk;
  if (data.length === 0 || data.length > CHUNK_SIZE_BYTES_MAX) {
    throw invalid(label, `chunks of 1 to ${CHUNK_SIZE_BYTES_MAX} bytes`, `${data.length} bytes`);
  }
  if (offset !== expectedOffset) throw invalid(label, `a chunk at byte ${expectedOffset}`, `one at byte ${offset}`);
  if (end !== null && offset + data.length > end)
    throw invalid(label, `nothing past byte ${end}`, `bytes to ${offset + data.length}`);
  const found = crc32(data);
  if (found !== chunk.crc32) {
    throw new SecateurError(
      'ChecksumMismatch',
      `${label}: the ${data.length} bytes at ${offset} were changed on their way: expected CRC-32 ${hex(chunk.crc32)}; found ${hex(found)}`,
      { retryable: true, details: { file: label, offset } },
    );
  }
  return data;
}

function invalid(label: string, expected: string, found: string): SecateurError {
  return new SecateurError('ArgumentInvalid', `${label}: expected ${expected}; found ${found}`, {
    details: { file: label },
  });
}

function hex(value: number): string {
  return value.toString(16).padStart(8, '0');
}
