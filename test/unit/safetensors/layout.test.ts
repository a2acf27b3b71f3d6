/** Where a layout puts bytes, and what it refuses to lay out. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { layoutSafetensors } from '../../../shared/safetensors/layout.ts';
import { tensorsToLay } from './arbitrary-tensors.ts';

describe('a layout', () => {
  test('is these bytes, for ever: committed layers are found again by it', () => {
    const { headerBytes, tensors, fileSizeBytes } = layoutSafetensors([
      { name: 'b', dtype: 'BF16', shape: [2, 3] },
      { name: 'a', dtype: 'F32', shape: [] },
    ]);
    const json =
      '{"__metadata__":{"format":"pt"},"b":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"a":{"dtype":"F32","shape":[],"data_offsets":[12,16]}}';
    const padded = Math.ceil(json.length / 8) * 8;
    const expected = Buffer.concat([Buffer.from([padded, 0, 0, 0, 0, 0, 0, 0]), Buffer.from(json.padEnd(padded, ' '))]);
    expect(Buffer.from(headerBytes)).toEqual(expected);
    expect([...tensors]).toEqual([
      ['b', { offset: 8 + padded, sizeBytes: 12 }],
      ['a', { offset: 8 + padded + 12, sizeBytes: 4 }],
    ]);
    expect(fileSizeBytes).toBe(8 + padded + 16);
  });

  test('begins its data at a multiple of 8 and has no gaps, whatever the names', () => {
    fc.assert(
      fc.property(tensorsToLay, (tensors) => {
        const layout = layoutSafetensors(tensors);
        expect(layout.headerBytes.length % 8).toBe(0);
        const stated = new DataView(layout.headerBytes.buffer).getBigUint64(0, true);
        expect(stated).toBe(BigInt(layout.headerBytes.length - 8));
        let end = layout.headerBytes.length;
        for (const { offset, sizeBytes } of layout.tensors.values()) {
          expect(offset).toBe(end);
          end += sizeBytes;
        }
        expect(layout.fileSizeBytes).toBe(end);
      }),
      { numRuns: 300 },
    );
  });

  test.each([
    ['a name twice', [1], ['t', 't']],
    ['the name of the metadata', [1], ['__metadata__']],
    ['half a surrogate pair as a name', [1], ['\ud800']],
    ['a negative dimension', [-1], ['t']],
    ['a fraction of a dimension', [1.5], ['t']],
    ['more than 2^53 bytes in one tensor', [2 ** 30, 2 ** 30], ['t']],
    ['more than 2^53 bytes in all', [2 ** 50], ['a', 'b', 'c']],
    ['65 dimensions', new Array(65).fill(1), ['t']],
  ])('refuses %s', (_, shape, names) => {
    const tensors = names.map((name) => ({ name, dtype: 'F32' as const, shape }));
    expect(() => layoutSafetensors(tensors)).toThrow(SecateurError);
    expect(() => layoutSafetensors(tensors)).toThrow('invariant broken');
  });
});
