import type { Dtype } from '../safetensors/dtype.ts';

/** Where one tensor's bytes stand: a contiguous range of one safetensors file, row-major, little-endian. */
export interface TensorLocation {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Absolute path of the file. */
  readonly file: string;
  /** First byte, counted from the beginning of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}
