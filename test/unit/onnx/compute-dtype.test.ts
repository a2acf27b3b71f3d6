import { expect, it } from 'vitest';
import { chooseComputeDtype } from '../../../shared/onnx/compute-dtype.ts';
import type { FloatDtype } from '../../../shared/safetensors/dtype.ts';

function weights(...dtypes: FloatDtype[]) {
  return dtypes.map((dtype) => ({ dtype, shape: [64, 64] }));
}

it.each([
  ['cpu', ['BF16'], 'F32'],
  ['cpu', ['F16'], 'F32'],
  ['cpu', ['F32'], 'F32'],
  ['cuda', ['BF16', 'BF16'], 'BF16'],
  ['cuda', ['F16'], 'F16'],
  ['cuda', ['F32'], 'F32'],
  ['cuda', ['BF16', 'F16'], 'F32'],
  ['cuda', ['BF16', 'F32'], 'F32'],
] as const)('%s, matrices in %j: %s', (provider, dtypes, expected) => {
  expect(chooseComputeDtype(provider, weights(...dtypes))).toBe(expected);
});

it('a norm of another type decides nothing', () => {
  const norm = { dtype: 'F32', shape: [64] } as const;
  expect(chooseComputeDtype('cuda', [norm, ...weights('BF16'), norm])).toBe('BF16');
  expect(chooseComputeDtype('cuda', [norm])).toBe('F32');
});
