/** The embedding of token ids, hidden(0, m), out of the checkpoint's table: only rows that occur are read. */
import { type FileHandle, open } from 'node:fs/promises';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { DTYPE_SIZE_BYTES, type FloatDtype, isFloatDtype } from '../../shared/safetensors/dtype.ts';
import { widen } from './widen.ts';

/** A gap that is cheaper to read than to skip by another call. */
const READ_GAP_BYTES_MAX = 64 * 1024;
const READ_SIZE_BYTES_MAX = 4 * 1024 * 1024;

interface Table {
  readonly location: TensorLocation;
  readonly dtype: FloatDtype;
  readonly rowCount: number;
  /** Columns of a row. */
  readonly hiddenSize: number;
  readonly rowSizeBytes: number;
}

/**
 * hidden = table[ids], widened to float32 exactly.
 *
 * @param ids token ids, [B, S] row-major; only their order counts
 * @param embedding the table [V, H]: V the vocabulary, H the hidden size; F32, F16 or BF16
 * @returns float32 [B, S, H]
 * @throws CalibrationInvalid: an id outside the table; NonFiniteValue: NaN or infinity in a row that occurs;
 * CheckpointInvalid: a table of another rank or dtype; SourceChanged: the file ends early; SourceMissing
 */
export async function embedTokens(ids: Int32Array, embedding: TensorLocation): Promise<Float32Array> {
  const table = describeTable(embedding);
  const { hiddenSize } = table;
  const rows = Int32Array.from(new Set(ids)).sort();
  checkRange(ids, rows, table);
  const firstPosition = new Map<number, number>();
  for (const [position, id] of ids.entries()) if (!firstPosition.has(id)) firstPosition.set(id, position);

  const hidden = new Float32Array(ids.length * hiddenSize);
  const handle = await openTable(embedding.file);
  try {
    for (const group of coalesce(rows, table.rowSizeBytes)) {
      const firstRow = group[0] as number;
      const bytes = await readRows(handle, table, firstRow, (group.at(-1) as number) - firstRow + 1);
      for (const row of group) {
        const begin = (firstPosition.get(row) as number) * hiddenSize;
        const stored = (row - firstRow) * table.rowSizeBytes;
        const out = hidden.subarray(begin, begin + hiddenSize);
        widen(bytes.subarray(stored, stored + table.rowSizeBytes), table.dtype, out);
        checkFinite(out, row, table.location);
      }
    }
  } finally {
    await handle.close();
  }
  for (const [position, id] of ids.entries()) {
    const first = firstPosition.get(id) as number;
    if (first !== position) hidden.copyWithin(position * hiddenSize, first * hiddenSize, (first + 1) * hiddenSize);
  }
  return hidden;
}

function describeTable(location: TensorLocation): Table {
  const { name, file, dtype, shape, sizeBytes } = location;
  const [rowCount, hiddenSize] = shape;
  if (!isFloatDtype(dtype) || shape.length !== 2 || !rowCount || !hiddenSize) {
    throw new SecateurError(
      'CheckpointInvalid',
      `${file}: tensor ${name}: expected an embedding [vocabulary, hidden] of F32, F16 or BF16; found ${dtype} [${shape.join(', ')}]. Check the checkpoint.`,
      { details: { file, tensor: name, dtype } },
    );
  }
  const rowSizeBytes = hiddenSize * DTYPE_SIZE_BYTES[dtype];
  if (sizeBytes !== rowCount * rowSizeBytes) {
    throw new SecateurError(
      'CheckpointInvalid',
      `${file}: tensor ${name}: expected ${rowCount * rowSizeBytes} bytes for ${dtype} [${shape.join(', ')}]; found ${sizeBytes}. Check the checkpoint.`,
      { details: { file, tensor: name, sizeBytes } },
    );
  }
  return { location, dtype, rowCount, hiddenSize, rowSizeBytes };
}

function checkRange(ids: Int32Array, sorted: Int32Array, { location, rowCount }: Table): void {
  const bad = [sorted[0], sorted.at(-1)].find((id) => id !== undefined && (id < 0 || id >= rowCount));
  if (bad === undefined) return;
  const position = ids.indexOf(bad);
  throw new SecateurError(
    'CalibrationInvalid',
    `token ${position} of a microbatch: expected an id from 0 to ${rowCount - 1} (rows of ${location.name}); found ${bad}. Prepare the calibration data with this model's tokenizer.`,
    { details: { tensor: location.name, position, found: bad, rowCount } },
  );
}

/** Runs of sorted rows that one read covers. */
function* coalesce(rows: Int32Array, rowSizeBytes: number): Generator<Int32Array> {
  let begin = 0;
  for (let index = 1; index <= rows.length; index++) {
    const [first, last, next] = [rows[begin] as number, rows[index - 1] as number, rows[index]];
    const joins =
      next !== undefined &&
      (next - last - 1) * rowSizeBytes <= READ_GAP_BYTES_MAX &&
      (next - first + 1) * rowSizeBytes <= READ_SIZE_BYTES_MAX;
    if (joins) continue;
    yield rows.subarray(begin, index);
    begin = index;
  }
}

async function openTable(file: string): Promise<FileHandle> {
  try {
    return await open(file, 'r');
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
}

async function readRows(handle: FileHandle, table: Table, firstRow: number, rowCount: number): Promise<Uint8Array> {
  const { location, rowSizeBytes } = table;
  const bytes = new Uint8Array(rowCount * rowSizeBytes);
  const offset = location.offset + firstRow * rowSizeBytes;
  let done = 0;
  while (done < bytes.byteLength) {
    const { bytesRead } = await handle.read(bytes, done, bytes.byteLength - done, offset + done);
    if (bytesRead === 0) {
      throw new SecateurError(
        'SourceChanged',
        `${location.file}: tensor ${location.name}: expected ${bytes.byteLength} bytes from byte ${offset}; found ${done}. The file was changed after the job began: submit it again.`,
        { details: { file: location.file, tensor: location.name, offset, found: done } },
      );
    }
    done += bytesRead;
  }
  return bytes;
}

function checkFinite(values: Float32Array, row: number, { file, name }: TensorLocation): void {
  const column = values.findIndex((value) => !Number.isFinite(value));
  if (column < 0) return;
  throw new SecateurError(
    'NonFiniteValue',
    `${file}: tensor ${name}, row ${row}, column ${column}: expected a finite number; found ${values[column]}. Every hidden state of that token would be lost: fetch or repair the checkpoint.`,
    { details: { file, tensor: name, row, column } },
  );
}
