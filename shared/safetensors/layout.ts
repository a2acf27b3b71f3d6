/** Where the tensors of a safetensors file stand, and its header. Pure. */
import { DTYPE_SIZE_BYTES, type Dtype } from './dtype.ts';
export interface TensorToLay { readonly name: string; readonly dtype: Dtype; readonly shape: readonly number[] }
export interface SafetensorsLayout {
  readonly headerBytes: Uint8Array;
  readonly tensors: ReadonlyMap<string, { readonly offset: number; readonly sizeBytes: number }>;
  readonly fileSizeBytes: number;
}
export function layoutSafetensors(tensors: readonly TensorToLay[], metadata: Readonly<Record<string, string>> = { format: 'pt' }): SafetensorsLayout {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  const ranges: [string, number, number][] = [];
  for (const { name, dtype, shape } of tensors) {
    const sizeBytes = shape.reduce((a, b) => a * b, 1) * DTYPE_SIZE_BYTES[dtype];
    header[name] = { dtype, shape, data_offsets: [end, end + sizeBytes] };
    ranges.push([name, end, sizeBytes]);
    end += sizeBytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Math.ceil(json.length / 8) * 8;
  const headerBytes = Buffer.alloc(8 + padded, 0x20);
  headerBytes.writeBigUInt64LE(BigInt(padded));
  json.copy(headerBytes, 8);
  const placed = new Map(ranges.map(([name, offset, sizeBytes]) => [name, { offset: 8 + padded + offset, sizeBytes }] as const));
  return { headerBytes, tensors: placed, fileSizeBytes: 8 + padded + end };
}
