import { truncateSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import type { FloatDtype } from '../../../shared/safetensors/dtype.ts';
import { readSafetensorsHeader } from '../../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../../shared/safetensors/read-tensor.ts';
import { writeSafetensorsFile } from '../../../shared/safetensors/write-file.ts';
import { embedTokens } from '../../../worker/calibration/embed.ts';
import { widen } from '../../../worker/calibration/widen.ts';
import { temporaryFolder } from './temporary-folder.ts';

const MODEL = join(import.meta.dirname, '../../../examples/micro-llama/model/model.safetensors');
const FORWARD = join(import.meta.dirname, '../../golden/fixtures/micro/forward.safetensors');

async function locate(file: string, name: string): Promise<TensorLocation> {
  const location = (await readSafetensorsHeader(file)).tensors.get(name);
  if (location === undefined) throw new Error(`${file} has no ${name}`);
  return location;
}

/** A table in a file, behind another tensor so that it does not begin where the data does. */
async function table(
  bytes: Uint8Array,
  dtype: FloatDtype,
  rowCount: number,
  hiddenSize: number,
): Promise<TensorLocation> {
  const file = join(temporaryFolder(), 'model.safetensors');
  await writeSafetensorsFile(file, [
    { name: 'other', dtype: 'U8', shape: [8], data: new Uint8Array(8).fill(255) },
    { name: 'embed', dtype, shape: [rowCount, hiddenSize], data: bytes },
  ]);
  return locate(file, 'embed');
}

/** A table of F32 whose row r holds r + 0/1024, r + 1/1024 … */
function rising(rowCount: number, hiddenSize: number): Uint8Array {
  const values = Float32Array.from(
    { length: rowCount * hiddenSize },
    (_, index) => Math.floor(index / hiddenSize) + (index % hiddenSize) / 1024,
  );
  return new Uint8Array(values.buffer);
}

describe('the embedding of tokens', () => {
  it('equals that of the reference on micro-llama, bit for bit', async () => {
    const ids = await readTensorBytes(await locate(FORWARD, 'ids'));
    const expected = await readTensorBytes(await locate(FORWARD, 'embed'));
    const embedding = await locate(MODEL, 'model.embed_tokens.weight');
    const hidden = await embedTokens(new Int32Array(ids.buffer, ids.byteOffset, ids.byteLength / 4), embedding);
    expect(Buffer.from(hidden.buffer).equals(Buffer.from(expected))).toBe(true);
  });

  it('is the row of each token, in their order, however rows are read together', async () => {
    // Rows of 40 KB: gaps of one row are read over, gaps of two are skipped, and 4 MiB end a read.
    const [rowCount, hiddenSize] = [300, 10_240];
    const embedding = await table(rising(rowCount, hiddenSize), 'F32', rowCount, hiddenSize);
    const id = fc.oneof(fc.integer({ min: 0, max: rowCount - 1 }), fc.integer({ min: 0, max: 12 }));
    await fc.assert(
      fc.asyncProperty(fc.array(id, { maxLength: 12 }), async (ids) => {
        const hidden = await embedTokens(Int32Array.from(ids), embedding);
        expect(hidden).toHaveLength(ids.length * hiddenSize);
        for (const [position, row] of ids.entries()) {
          for (const column of [0, 1, hiddenSize - 1]) {
            expect(hidden[position * hiddenSize + column]).toBe(Math.fround(row + column / 1024));
          }
        }
      }),
      { numRuns: 40 },
    );
    const every = Int32Array.from({ length: rowCount }, (_, row) => rowCount - 1 - row);
    const hidden = await embedTokens(every, embedding);
    expect(Array.from(every, (_, position) => hidden[position * hiddenSize])).toEqual([...every]);
  });

  it.each<FloatDtype>(['F16', 'BF16', 'F32'])('widens %s exactly', async (dtype) => {
    const stored = Uint8Array.from({ length: 16 * 8 }, (_, index) => (index * 37) % 120);
    const hiddenSize = dtype === 'F32' ? 2 : 4;
    const embedding = await table(stored, dtype, 16, hiddenSize);
    const all = new Float32Array(16 * hiddenSize);
    widen(stored, dtype, all);
    expect(
      await embedTokens(
        Int32Array.from({ length: 16 }, (_, row) => row),
        embedding,
      ),
    ).toEqual(all);
  });

  it('reads only rows that occur: a NaN elsewhere does no harm', async () => {
    const bytes = rising(4, 3);
    new Float32Array(bytes.buffer)[2 * 3 + 1] = Number.NaN;
    const embedding = await table(bytes, 'F32', 4, 3);
    expect([...(await embedTokens(Int32Array.of(3, 1, 3), embedding))].map(Math.floor)).toEqual([
      3, 3, 3, 1, 1, 1, 3, 3, 3,
    ]);
    await expect(embedTokens(Int32Array.of(0, 2), embedding)).rejects.toMatchObject({
      code: 'NonFiniteValue',
      details: { tensor: 'embed', row: 2, column: 1 },
    });
  });

  it.each([0x7c00, 0xfc00, 0x7e00, 0x7c01])('refuses the F16 of bits %i by tensor, row and column', async (bits) => {
    const stored = new Uint16Array(6);
    stored[5] = bits;
    const embedding = await table(new Uint8Array(stored.buffer), 'F16', 2, 3);
    const failure = await embedTokens(Int32Array.of(0, 1), embedding).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ code: 'NonFiniteValue' });
    expect((failure as Error).message).toContain(`${embedding.file}: tensor embed, row 1, column 2: `);
  });

  it.each([
    [[0, 4, 1], 1],
    [[0, 1, -1], 2],
    [[2_000_000_000], 0],
  ])('refuses ids %j outside the table', async (ids, position) => {
    const embedding = await table(rising(4, 2), 'F32', 4, 2);
    await expect(embedTokens(Int32Array.from(ids), embedding)).rejects.toMatchObject({
      code: 'CalibrationInvalid',
      details: { position, found: ids[position] },
    });
  });

  it('refuses a table of another rank, dtype or size', async () => {
    const embedding = await table(rising(4, 2), 'F32', 4, 2);
    for (const bad of [{ shape: [8] }, { shape: [2, 2, 2] }, { dtype: 'I32' as const }, { shape: [5, 2] }]) {
      await expect(embedTokens(Int32Array.of(0), { ...embedding, ...bad })).rejects.toMatchObject({
        code: 'CheckpointInvalid',
      });
    }
  });

  it('refuses a file that has ended early, or is gone', async () => {
    const embedding = await table(rising(4, 2), 'F32', 4, 2);
    truncateSync(embedding.file, embedding.offset + 20);
    expect(await embedTokens(Int32Array.of(0, 1), embedding)).toHaveLength(4);
    await expect(embedTokens(Int32Array.of(2), embedding)).rejects.toMatchObject({ code: 'SourceChanged' });
    const gone = { ...embedding, file: `${embedding.file}.gone` };
    await expect(embedTokens(Int32Array.of(2), gone)).rejects.toMatchObject({ code: 'SourceMissing' });
  });
});
