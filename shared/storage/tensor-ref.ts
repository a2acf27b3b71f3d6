/** A tensor's reference off the wire, checked: what it says of dtype, shape and size must agree. */
import { SecateurError } from '../errors/secateur-error.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { TensorRef } from '../rpc/generated/secateur/v1/TensorRef.ts';
import { DTYPE_SIZE_BYTES, type Dtype, isDtype } from '../safetensors/dtype.ts';

export interface CheckedTensorRef {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly file: FileRef;
  readonly offset: number;
  readonly sizeBytes: number;
}

/** @throws ArgumentInvalid */
export function checkTensorRef(ref: TensorRef): CheckedTensorRef {
  const { name = '', dtype, shape = [], file, offset = 0, sizeBytes = 0 } = ref;
  if (name === '' || !file) throw invalid(name, 'a name and a file', 'one of them missing');
  if (!isDtype(dtype)) throw invalid(name, 'a dtype of the safetensors format', JSON.stringify(dtype));
  const expected = shape.reduce((product, extent) => product * extent, DTYPE_SIZE_BYTES[dtype]);
  if (expected !== sizeBytes || !Number.isSafeInteger(offset + sizeBytes) || offset < 0) {
    throw invalid(name, `${expected} bytes for ${dtype} [${shape.join(', ')}]`, `${sizeBytes} bytes at ${offset}`);
  }
  return { name, dtype, shape, file, offset, sizeBytes };
}

function invalid(name: string, expected: string, found: string): SecateurError {
  return new SecateurError('ArgumentInvalid', `tensor ${JSON.stringify(name)}: expected ${expected}; found ${found}`, {
    details: { tensor: name },
  });
}
