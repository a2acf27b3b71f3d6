/** Where the tensors of a safetensors file stand, and its header: a pure function of names, types, shapes and metadata. */
import { invariant } from '../errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES, type Dtype } from './dtype.ts';
import { LENGTH_PREFIX_BYTES } from './header.ts';

/** The data begins at a multiple of this, so that a mapped file has aligned tensors. */
const ALIGNMENT_BYTES = 8;

export interface TensorToLay {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
}

export interface SafetensorsLayout {
  /** Length prefix and JSON, padded with spaces. */
  readonly headerBytes: Uint8Array;
  /** Offsets from the beginning of the file. */
  readonly tensors: ReadonlyMap<string, { readonly offset: number; readonly sizeBytes: number }>;
  readonly fileSizeBytes: number;
}

/** The tensors stand in the order given. `{"format":"pt"}` is what transformers wants to see. */
export function layoutSafetensors(
  tensors: readonly TensorToLay[],
  metadata: Readonly<Record<string, string>> = { format: 'pt' },
): SafetensorsLayout {
  // No prototype: a tensor may be called "__proto__".
  const header: Record<string, unknown> = Object.create(null);
  header.__metadata__ = metadata;
  const ranges: { name: string; begin: number; sizeBytes: number }[] = [];
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    invariant(!(name in header), `tensor ${name} stands once in a file`);
    const sizeBytes = shape.reduce((product, size) => product * size, DTYPE_SIZE_BYTES[dtype]);
    header[name] = { dtype, shape, data_offsets: [end, end + sizeBytes] };
    ranges.push({ name, begin: end, sizeBytes });
    end += sizeBytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.length / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
  const headerBytes = Buffer.alloc(LENGTH_PREFIX_BYTES + padded, ' ');
  headerBytes.writeBigUInt64LE(BigInt(padded));
  json.copy(headerBytes, LENGTH_PREFIX_BYTES);
  const dataOffset = headerBytes.length;
  return {
    headerBytes,
    tensors: new Map(ranges.map(({ name, begin, sizeBytes }) => [name, { offset: dataOffset + begin, sizeBytes }])),
    fileSizeBytes: dataOffset + end,
  };
}
