/// <reference lib="esnext.float16" />
/** All weights of one linear in memory, for methods that change them: read as float32, written back in the stored type. */
import { open } from 'node:fs/promises';
import { openSourceFile } from '../../shared/checkpoint/source-file.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype } from '../../shared/safetensors/dtype.ts';
import { writeFully } from '../../shared/storage/write-fully.ts';
import { widen } from '../calibration/widen.ts';
import type { LinearJob } from '../methods/method.ts';
import { sharedFloats } from '../methods/sparsegpt/team.ts';
import { readPiece } from './read-piece.ts';

/** Weights that are read or written at once. */
const CHUNK_WEIGHTS = 1024 * 1024;

/**
 * @param zeros gives the shared memory for it
 * @returns [O, I], every stored value exactly
 * @throws SourceChanged where the file ends before the matrix does
 */
export async function readLinear(
  { tensor, dtype, rows, columns, source }: LinearJob,
  zeros = sharedFloats,
): Promise<Float32Array> {
  const weights = zeros(rows * columns);
  const size = DTYPE_SIZE_BYTES[dtype];
  const { handle } = await openSourceFile(source.file, 'SourceChanged');
  try {
    const buffer = new Uint8Array(Math.min(CHUNK_WEIGHTS, weights.length) * size);
    for (let first = 0; first < weights.length; first += CHUNK_WEIGHTS) {
      const chunk = weights.subarray(first, first + CHUNK_WEIGHTS);
      const bytes = buffer.subarray(0, chunk.length * size);
      await readPiece(handle, bytes, source.offset + first * size, { file: source.file, tensor });
      widen(bytes, dtype, chunk);
    }
  } finally {
    await handle.close();
  }
  return weights;
}

/**
 * To the place of the matrix, rounded to nearest, ties to even. `zeros` counts what is stored.
 *
 * @throws NonFiniteValue where a weight is beyond the stored type, with row and column
 */
export async function writeLinear(job: LinearJob, weights: Float32Array): Promise<{ zeros: number }> {
  const { dtype, destination } = job;
  const size = DTYPE_SIZE_BYTES[dtype];
  const handle = await open(destination.file, 'r+');
  let zeros = 0;
  try {
    const stored = new Uint8Array(Math.min(CHUNK_WEIGHTS, weights.length) * size);
    for (let first = 0; first < weights.length; first += CHUNK_WEIGHTS) {
      const chunk = weights.subarray(first, first + CHUNK_WEIGHTS);
      const bytes = stored.subarray(0, chunk.length * size);
      narrow(chunk, dtype, bytes);
      zeros += inspect(job, bytes, first);
      await writeFully(handle, bytes, destination.offset + first * size, destination.file);
    }
  } finally {
    await handle.close();
  }
  return { zeros };
}

/** `bytes`: as many elements of `dtype`, little-endian, at the beginning of a buffer. */
function narrow(values: Float32Array, dtype: FloatDtype, bytes: Uint8Array): void {
  const { buffer } = bytes;
  switch (dtype) {
    case 'F32':
      new Float32Array(buffer, 0, values.length).set(values);
      return;
    case 'F16':
      new Float16Array(buffer, 0, values.length).set(values);
      return;
    case 'BF16':
      narrowBfloat16(values, new Uint16Array(buffer, 0, values.length));
      return;
  }
}

/** The upper half of a float32, one up where the lower half is more than half of a step, or half and the upper is odd. */
function narrowBfloat16(values: Float32Array, out: Uint16Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length);
  for (let index = 0; index < bits.length; index++) {
    const value = bits[index] as number;
    out[index] = (value + 0x7fff + ((value >>> 16) & 1)) >>> 16;
  }
}

/** Exponents of all ones are infinite or no number: what the solver gave was finite, so the type is too narrow for it. */
const EXPONENT = { F32: 0x7f800000, F16: 0x7c00, BF16: 0x7f80 } as const;

/** How many of these are 0. */
function inspect({ tensor, dtype, columns }: LinearJob, bytes: Uint8Array, first: number): number {
  const [exponent, sign] = [EXPONENT[dtype], dtype === 'F32' ? 0x7fffffff : 0x7fff];
  const count = bytes.length / DTYPE_SIZE_BYTES[dtype];
  const bits = dtype === 'F32' ? new Uint32Array(bytes.buffer, 0, count) : new Uint16Array(bytes.buffer, 0, count);
  let zeros = 0;
  for (let index = 0; index < count; index++) {
    const value = bits[index] as number;
    zeros += (value & sign) === 0 ? 1 : 0;
    if ((value & exponent) !== exponent) continue;
    const [row, column] = [Math.floor((first + index) / columns), (first + index) % columns];
    throw new SecateurError(
      'NonFiniteValue',
      `${tensor}: expected that the update of the weights stays within ${dtype}; found a greater one in row ${row}, column ${column} (both counted from 0). Calibrate on more samples, or set a greater dampingFraction.`,
      { details: { tensor, dtype, row, column } },
    );
  }
  return zeros;
}
