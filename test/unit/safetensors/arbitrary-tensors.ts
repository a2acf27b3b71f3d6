/** Any tensors that a safetensors file can hold, small: for properties. */

import fc from 'fast-check';
import { DTYPE_SIZE_BYTES, type Dtype } from '../../../shared/safetensors/dtype.ts';
import type { TensorToLay } from '../../../shared/safetensors/layout.ts';

const dtype = fc.constantFrom(...(Object.keys(DTYPE_SIZE_BYTES) as Dtype[]));
const name = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 12 }),
  fc.constantFrom('__proto__', 'constructor', '0', '10', 'model.layers.0.mlp.up_proj.weight', '"\\', '\u0000'),
);

export const tensorsToLay: fc.Arbitrary<TensorToLay[]> = fc.uniqueArray(
  fc.record({ name, dtype, shape: fc.array(fc.nat(4), { maxLength: 4 }) }),
  { selector: (tensor) => tensor.name, maxLength: 8 },
);
