/** Token ids that the user brings: a safetensors file with `input_ids` [samples, sequenceLength], I32 or I64. */
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES } from '../../shared/safetensors/dtype.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { CALIBRATION_TOKEN_COUNT_MAX } from './select-windows.ts';

const TENSOR = 'input_ids';

export interface LoadedTokens {
  readonly samples: number;
  readonly sequenceLength: number;
  /** Token ids [samples, sequenceLength]. */
  readonly ids: Int32Array;
}

/** Rows of a file: so many, exactly; all of them (null); or so many at most. */
export type WantedRows = number | null | { readonly atMost: number };

/**
 * The first rows of a file of token ids, as many as are wanted. Other tensors of the file are not looked at.
 *
 * @throws CalibrationInvalid: no `input_ids`, another dtype or rank, fewer rows than asked for, an id outside
 * 0 .. vocabularySize - 1 (with its row and column); SafetensorsInvalid; SourceMissing
 */
export async function loadTokens(file: string, wanted: WantedRows, vocabularySize: number): Promise<LoadedTokens> {
  const { tensors } = await readSafetensorsHeader(file);
  const location = tensors.get(TENSOR);
  if (location === undefined) {
    const names = [...tensors.keys()].slice(0, 8).join(', ') || 'no tensor';
    throw invalid(file, `expected a tensor ${TENSOR}; found ${names}. Rename the tensor that holds the token ids.`);
  }
  const [rowCount, sequenceLength] = checkShape(file, location);
  const taken = takenRows(file, wanted, rowCount);
  if (taken * sequenceLength > CALIBRATION_TOKEN_COUNT_MAX) {
    throw invalid(
      file,
      `expected at most ${CALIBRATION_TOKEN_COUNT_MAX} tokens; found ${taken} rows of ${sequenceLength}. Ask for fewer rows.`,
    );
  }
  const count = taken * sequenceLength;
  // The first rows stand together at the beginning: they are a smaller tensor at the same place.
  const sizeBytes = count * DTYPE_SIZE_BYTES[location.dtype];
  const bytes = await readTensorBytes({ ...location, shape: [taken, sequenceLength], sizeBytes });
  const ids = location.dtype === 'I32' ? fromInt32(bytes) : fromInt64(bytes, count);
  checkIds(file, ids, bytes, sequenceLength, vocabularySize);
  return { samples: taken, sequenceLength, ids };
}

function takenRows(file: string, wanted: WantedRows, rowCount: number): number {
  if (wanted === null) return rowCount;
  if (typeof wanted === 'object') return Math.min(wanted.atMost, rowCount);
  if (wanted >= 1 && wanted <= rowCount) return wanted;
  throw invalid(
    file,
    `expected at least ${wanted} rows of ${TENSOR} (spec.calibration.samples); found ${rowCount}. Ask for 1 to ${rowCount} samples, or leave samples out to take them all.`,
  );
}

function checkShape(file: string, location: TensorLocation): [rowCount: number, sequenceLength: number] {
  const { dtype, shape } = location;
  if (dtype !== 'I32' && dtype !== 'I64') {
    throw invalid(file, `expected ${TENSOR} of dtype I32 or I64; found ${dtype}. Convert the token ids.`);
  }
  const [rowCount, sequenceLength] = shape;
  if (shape.length !== 2 || !rowCount || !sequenceLength) {
    throw invalid(
      file,
      `expected ${TENSOR} of shape [samples, sequenceLength], both at least 1; found [${shape.join(', ')}]. Stack sequences of one length.`,
    );
  }
  return [rowCount, sequenceLength];
}

function fromInt32(bytes: Uint8Array): Int32Array {
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

/** Values beyond 32 bits become -1, which no vocabulary has: checkIds names them by their bytes. */
function fromInt64(bytes: Uint8Array, count: number): Int32Array {
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, count * 2);
  return Int32Array.from({ length: count }, (_, index) =>
    words[2 * index + 1] === 0 ? (words[2 * index] as number) : -1,
  );
}

function checkIds(
  file: string,
  ids: Int32Array,
  bytes: Uint8Array,
  sequenceLength: number,
  vocabularySize: number,
): void {
  const index = ids.findIndex((id) => id < 0 || id >= vocabularySize);
  if (index < 0) return;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const wide = bytes.byteLength === ids.length * 8;
  const found = wide ? view.getBigInt64(index * 8, true).toString() : view.getInt32(index * 4, true).toString();
  const [row, column] = [Math.floor(index / sequenceLength), index % sequenceLength];
  throw new SecateurError(
    'CalibrationInvalid',
    `${file}: ${TENSOR} row ${row}, column ${column}: expected a token id from 0 to ${vocabularySize - 1} (the model's vocabulary); found ${found}. Were these ids made with this model's tokenizer, and without padding of -100?`,
    { details: { file, row, column, found } },
  );
}

function invalid(file: string, problem: string): SecateurError {
  return new SecateurError('CalibrationInvalid', `${file}: ${problem}`, { details: { file } });
}
