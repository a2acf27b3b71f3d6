/** Element types of the safetensors format that secateur reads, and their sizes in bytes. */

/** Types that weights may have. */
export type FloatDtype = 'F32' | 'F16' | 'BF16';

/** Every type that the format defines and whose elements are whole bytes: what a checkpoint may carry unpruned. */
export const DTYPE_SIZE_BYTES = {
  BOOL: 1,
  U8: 1,
  I8: 1,
  F8_E5M2: 1,
  F8_E4M3: 1,
  F8_E8M0: 1,
  F8_E4M3FNUZ: 1,
  F8_E5M2FNUZ: 1,
  I16: 2,
  U16: 2,
  F16: 2,
  BF16: 2,
  I32: 4,
  U32: 4,
  F32: 4,
  C64: 8,
  F64: 8,
  I64: 8,
  U64: 8,
} as const;

/** Types that the format defines with several elements to a byte: refused by name. */
const SUB_BYTE_DTYPES: readonly string[] = ['F4', 'F6_E2M3', 'F6_E3M2'];

export type Dtype = keyof typeof DTYPE_SIZE_BYTES;

export function isDtype(name: unknown): name is Dtype {
  return typeof name === 'string' && Object.hasOwn(DTYPE_SIZE_BYTES, name);
}

export function isSubByteDtype(name: string): boolean {
  return SUB_BYTE_DTYPES.includes(name);
}

export function isFloatDtype(dtype: Dtype): dtype is FloatDtype {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16';
}
