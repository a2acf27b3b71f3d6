/**
 * Reads one shard once, from its first byte to its last: its digest, and every tensor's bytes to whoever checks them.
 * Memory: two buffers of SCAN_BYTES, whatever the size of the shard or of a row.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { SafetensorsFile } from '../../shared/safetensors/read-header.ts';

/** A multiple of every element's size. */
const SCAN_BYTES = 4 * 1024 * 1024;

export interface TensorScan {
  /** Where the source holds the same tensor; null where there is nothing to compare with. */
  readonly source: TensorLocation | null;
  /** `source` is as long as `output`, or null. Both are views of buffers that are used again: keep nothing. */
  take(output: Uint8Array, source: Uint8Array | null): void;
}

export interface ScannedShard {
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** @param scanOf what is to be done with a tensor's bytes; null: only the digest */
export async function scanShard(
  shard: SafetensorsFile,
  scanOf: (tensor: TensorLocation) => TensorScan | null,
): Promise<ScannedShard> {
  const hash = createHash('sha256');
  const buffer = Buffer.from(new ArrayBuffer(SCAN_BYTES));
  const sourceBuffer = Buffer.from(new ArrayBuffer(SCAN_BYTES));
  const handle = await open(shard.file, 'r');
  try {
    let position = 0;
    const hashUntil = async (
      end: number,
      onPiece: (piece: Buffer, at: number) => Promise<void> | void,
    ): Promise<void> => {
      while (position < end) {
        const piece = buffer.subarray(0, Math.min(SCAN_BYTES, end - position));
        await readWhole(handle, piece, position, shard.file);
        hash.update(piece);
        await onPiece(piece, position);
        position += piece.length;
      }
    };
    for (const tensor of shard.tensors.values()) {
      await hashUntil(tensor.offset, () => undefined);
      const scan = scanOf(tensor);
      const source = scan?.source ?? null;
      const sourceHandle = source === null ? null : await open(source.file, 'r');
      try {
        await hashUntil(tensor.offset + tensor.sizeBytes, async (piece, at) => {
          if (source === null || sourceHandle === null) return scan?.take(piece, null);
          const other = sourceBuffer.subarray(0, piece.length);
          await readWhole(sourceHandle, other, source.offset + at - tensor.offset, source.file);
          scan?.take(piece, other);
        });
      } finally {
        await sourceHandle?.close();
      }
    }
    await hashUntil(shard.sizeBytes, () => undefined);
  } finally {
    await handle.close();
  }
  return { sha256: hash.digest('hex'), sizeBytes: shard.sizeBytes };
}

async function readWhole(handle: FileHandle, into: Buffer, position: number, file: string): Promise<void> {
  let done = 0;
  while (done < into.length) {
    const { bytesRead } = await handle.read(into, done, into.length - done, position + done);
    if (bytesRead === 0) {
      throw new SecateurError('SourceChanged', `${file}: it became shorter while it was read. Verify it again.`, {
        details: { file },
      });
    }
    done += bytesRead;
  }
}
