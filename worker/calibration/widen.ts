/// <reference lib="esnext.float16" />
/** Stored floats to float32. Every F16, BF16 and F32 value is a float32, so nothing is rounded. */
import { invariant } from '../../shared/errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype } from '../../shared/safetensors/dtype.ts';

/**
 * Widens little-endian elements into `out`: as many as `out` has.
 *
 * @param bytes exactly `out.length` elements of `dtype`, beginning at a multiple of the element's size
 */
export function widen(bytes: Uint8Array, dtype: FloatDtype, out: Float32Array): void {
  const { buffer, byteOffset, byteLength } = bytes;
  invariant(byteLength === out.length * DTYPE_SIZE_BYTES[dtype], `${byteLength} bytes are ${out.length} of ${dtype}`);
  invariant(byteOffset % DTYPE_SIZE_BYTES[dtype] === 0, `${dtype} at byte ${byteOffset} is aligned`);
  switch (dtype) {
    case 'F32':
      out.set(new Float32Array(buffer, byteOffset, out.length));
      return;
    case 'F16':
      out.set(new Float16Array(buffer, byteOffset, out.length));
      return;
    case 'BF16':
      widenBfloat16(new Uint16Array(buffer, byteOffset, out.length), out);
      return;
  }
}

/** A BF16 is the upper half of the float32 of the same value. */
function widenBfloat16(stored: Uint16Array, out: Float32Array): void {
  const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let index = 0; index < bits.length; index++) bits[index] = (stored[index] as number) << 16;
}
