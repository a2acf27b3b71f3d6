import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { FloatDtype } from '../../../shared/safetensors/dtype.ts';
import { widen } from '../../../worker/calibration/widen.ts';

function widened(bits: Uint16Array | Uint32Array, dtype: FloatDtype): Float32Array {
  const out = new Float32Array(bits.length);
  widen(new Uint8Array(bits.buffer, bits.byteOffset, bits.byteLength), dtype, out);
  return out;
}

/** IEEE 754 binary16 by its definition: sign, 5 bits of exponent, 10 bits of fraction. */
function binary16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 0x1f;
  const fraction = bits & 0x3ff;
  if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -24 : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/** bfloat16 by its definition: sign, 8 bits of exponent, 7 bits of fraction. */
function bfloat16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 7) & 0xff;
  const fraction = bits & 0x7f;
  if (exponent === 0xff) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * fraction * 2 ** -133 : sign * (1 + fraction / 128) * 2 ** (exponent - 127);
}

const EVERY_16_BITS = Uint16Array.from({ length: 65_536 }, (_, bits) => bits);

describe('widening to float32', () => {
  it.each<[FloatDtype, (bits: number) => number]>([
    ['F16', binary16],
    ['BF16', bfloat16],
  ])('gives the value of each of the 65,536 %s, signed zeros and subnormals included', (dtype, valueBy) => {
    const found = widened(EVERY_16_BITS, dtype);
    const wrong = [...EVERY_16_BITS].filter((bits) => !Object.is(found[bits], valueBy(bits)));
    expect(wrong).toEqual([]);
  });

  it('copies F32', () => {
    fc.assert(
      fc.property(fc.float32Array({ noNaN: true }), (values) => {
        expect(widened(new Uint32Array(values.slice().buffer), 'F32')).toEqual(values);
      }),
    );
  });

  it('reads in the middle of a buffer', () => {
    const bytes = new Uint8Array(Uint16Array.of(0x3c00, 0x4000, 0xc200).buffer).subarray(2);
    const out = new Float32Array(2);
    widen(bytes, 'F16', out);
    expect([...out]).toEqual([2, -3]);
  });

  it('refuses bytes that are too few, too many or not aligned', () => {
    const bytes = new Uint8Array(8);
    expect(() => widen(bytes, 'F16', new Float32Array(3))).toThrow('invariant broken');
    expect(() => widen(bytes, 'F32', new Float32Array(3))).toThrow('invariant broken');
    expect(() => widen(bytes.subarray(1, 5), 'BF16', new Float32Array(2))).toThrow('aligned');
  });
});
