/** The header of a safetensors file to be written, and where each tensor's bytes belong. Pure. */

import { invariant } from '../errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES, type Dtype } from './dtype.ts';
import { HEADER_SIZE_BYTES_MAX, METADATA_KEY, SHAPE_RANK_MAX, shapeSize } from './header.ts';

/** Data begins at a multiple of this, as the Rust crate's writer has it: 8-byte elements can be mapped in place. */
const DATA_ALIGNMENT_BYTES = 8;
const LENGTH_SIZE_BYTES = 8;
const SPACE = 0x20;

export interface TensorToLay {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export interface SafetensorsLayout {
  /** The file's first bytes: length, JSON, spaces. Its length is where the data begins. */
  readonly headerBytes: Uint8Array;
  /** By name, in the order given; offsets count from the beginning of the file. */
  readonly tensors: ReadonlyMap<string, { readonly offset: number; readonly sizeBytes: number }>;
  readonly fileSizeBytes: number;
}

/**
 * Lays out tensors one behind the other, in the given order, without gaps. The same input gives the same bytes.
 *
 * The format has no room for padding between tensors: behind a tensor of an odd size, wider elements stand unaligned.
 * Who reads in place and needs alignment gives the widest dtypes first.
 *
 * @param metadata free text for `__metadata__`; Hugging Face's loaders ask for `{"format":"pt"}`
 * @throws Internal when a name comes twice, is reserved or is no text, or a shape or the header is too large
 */
export function layoutSafetensors(
  tensors: readonly TensorToLay[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): SafetensorsLayout {
  // Written member by member: an object would put names that look like numbers first, and lose `__proto__`.
  const members = [`${JSON.stringify(METADATA_KEY)}:${JSON.stringify(metadata)}`];
  const sizes = new Map<string, number>();
  let dataSizeBytes = 0;
  for (const { name, dtype, shape } of tensors) {
    invariant(name !== METADATA_KEY && name.isWellFormed(), `${JSON.stringify(name)} may name a tensor`);
    invariant(!sizes.has(name), `tensor ${name} is laid out once`);
    const sizeBytes = tensorSizeBytes(name, dtype, shape);
    const begin = dataSizeBytes;
    dataSizeBytes += sizeBytes;
    invariant(Number.isSafeInteger(dataSizeBytes), `the tensors up to ${name} take fewer than 2^53 bytes`);
    members.push(`${JSON.stringify(name)}:${JSON.stringify({ dtype, shape, data_offsets: [begin, dataSizeBytes] })}`);
    sizes.set(name, sizeBytes);
  }
  const headerBytes = encodeHeader(`{${members.join(',')}}`);
  let offset = headerBytes.length;
  const placed = new Map<string, { offset: number; sizeBytes: number }>();
  for (const [name, sizeBytes] of sizes) {
    placed.set(name, { offset, sizeBytes });
    offset += sizeBytes;
  }
  return { headerBytes, tensors: placed, fileSizeBytes: offset };
}

function tensorSizeBytes(name: string, dtype: Dtype, shape: readonly number[]): number {
  const valid = shape.length <= SHAPE_RANK_MAX && shape.every((size) => Number.isSafeInteger(size) && size >= 0);
  const sizeBytes = valid ? shapeSize(shape, DTYPE_SIZE_BYTES[dtype]) : undefined;
  invariant(sizeBytes !== undefined, `${name} of shape [${shape.join(', ')}] can be stored`);
  return sizeBytes;
}

function encodeHeader(json: string): Uint8Array {
  const text = new TextEncoder().encode(json);
  const paddedSize = Math.ceil(text.length / DATA_ALIGNMENT_BYTES) * DATA_ALIGNMENT_BYTES;
  invariant(paddedSize <= HEADER_SIZE_BYTES_MAX, `a header of ${paddedSize} bytes is at most ${HEADER_SIZE_BYTES_MAX}`);
  const bytes = new Uint8Array(LENGTH_SIZE_BYTES + paddedSize).fill(SPACE);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(paddedSize), true);
  bytes.set(text, LENGTH_SIZE_BYTES);
  return bytes;
}
