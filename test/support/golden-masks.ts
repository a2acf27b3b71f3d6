/** The reference's masks and the matrices that they are of (test/golden/fixtures/README.md). */
import { readFileSync } from 'node:fs';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import type { StoredWeights } from '../../worker/kernels/reference.ts';
import type { MatrixDescription } from '../../worker/kernels/selection.ts';
import type { GoldenTensor } from './read-safetensors.ts';

export const fixture = (path: string) => new URL(`../golden/fixtures/${path}`, import.meta.url);
export const json = <T>(path: string) => JSON.parse(readFileSync(fixture(path), 'utf8')) as T;

export function storedWeights({ dtype, bytes }: GoldenTensor): StoredWeights {
  return dtype === 'F32' ? new Float32Array(bytes.buffer) : new Uint16Array(bytes.buffer);
}

export function matrixOf(tensor: string, { dtype, shape }: GoldenTensor): MatrixDescription {
  return { tensor, dtype: dtype as FloatDtype, rows: shape[0]!, columns: shape[1]! };
}

/** One byte an element, 1 = pruned, from bit (c & 7) of byte [r, c >> 3]. */
export function unpackMask({ bytes }: GoldenTensor, rows: number, columns: number): Uint8Array {
  const rowSizeBytes = Math.ceil(columns / 8);
  return Uint8Array.from({ length: rows * columns }, (_, i) => {
    const column = i % columns;
    return (bytes[Math.floor(i / columns) * rowSizeBytes + (column >> 3)]! >> (column & 7)) & 1;
  });
}

/** What a mask makes of weights: +0 where it is 1. */
export function applyMask(weights: StoredWeights, mask: Uint8Array): StoredWeights {
  return weights.map((stored, i) => (mask[i] === 1 ? 0 : stored));
}

export interface SelectionCase {
  readonly case: string;
  readonly method: string;
  readonly ratio: number;
  readonly n: number;
  readonly m: number;
  readonly key: string;
  readonly rows: number;
  readonly cols: number;
  readonly mask_ones: number;
  readonly zeros_after: number;
  readonly boundary_ties: number;
}

export interface Run {
  readonly method: string;
  readonly sparsity_ratio: number;
  readonly n: number;
  readonly m: number;
  readonly matrices: Readonly<Record<string, { zeros: number; mask_sha256: string; weight_sha256: string }>>;
}
