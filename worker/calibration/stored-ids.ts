/** Token ids as jobs keep them: a safetensors file with `input_ids` I32 [rows, sequenceLength]. */
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import type { TensorToWrite } from '../../shared/safetensors/write-file.ts';

const TENSOR = 'input_ids';

/** `ids`: [rows, sequenceLength], row-major. */
export function idsTensor(ids: Int32Array, rows: number, sequenceLength: number): TensorToWrite {
  invariant(ids.length === rows * sequenceLength, `${ids.length} ids are [${rows}, ${sequenceLength}]`);
  const data = new Uint8Array(ids.buffer, ids.byteOffset, ids.byteLength);
  return { name: TENSOR, dtype: 'I32', shape: [rows, sequenceLength], data };
}

/**
 * All ids of such a file, row after row.
 *
 * @throws SafetensorsInvalid, SourceMissing
 */
export async function readIds(file: string): Promise<Int32Array> {
  const location = (await readSafetensorsHeader(file)).tensors.get(TENSOR);
  if (location === undefined)
    throw new SecateurError('SafetensorsInvalid', `${file}: expected a tensor ${TENSOR}.`, { details: { file } });
  const bytes = await readTensorBytes(location);
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
