/** Files written and read back through the disk: whole files, rows, atomic replacement. */

import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import { readSafetensorsHeader } from '../../../shared/safetensors/read-header.ts';
import { readTensorBytes, readTensorRows } from '../../../shared/safetensors/read-tensor.ts';
import { writeSafetensorsFile } from '../../../shared/safetensors/write-file.ts';
import { fsyncDirectory, writeFileAtomic } from '../../../shared/storage/atomic-file.ts';
import { expectRefusal, refusalOf, temporaryFolder } from '../../hostile/hostile-files.ts';

const folder = temporaryFolder();

describe('writeSafetensorsFile', () => {
  test('writes tensors that read back bit for bit', async () => {
    const file = folder.path('round-trip.safetensors');
    const ids = new Uint8Array(Int32Array.of(1, 2, 3, 4, 5, 6).buffer);
    const odd = Uint8Array.of(9, 8, 7);
    // A view into the middle of a buffer: only its own bytes are written.
    const sums = new Uint8Array(Float64Array.of(0.5, -1, Number.NaN, 4).buffer).subarray(8, 24);
    await writeSafetensorsFile(
      file,
      [
        { name: 'ids', dtype: 'I32', shape: [2, 3], data: ids },
        { name: 'odd', dtype: 'U8', shape: [3], data: odd },
        { name: 'sums', dtype: 'F64', shape: [2], data: sums },
        { name: 'none', dtype: 'F32', shape: [0, 4], data: new Uint8Array(0) },
      ],
      { format: 'pt', note: 'ü' },
    );
    const header = await readSafetensorsHeader(file);
    expect(header.metadata).toEqual({ format: 'pt', note: 'ü' });
    expect(header.sizeBytes).toBe((await readFile(file)).length);
    expect([...header.tensors.keys()]).toEqual(['ids', 'odd', 'sums', 'none']);
    const read = (name: string) => readTensorBytes(header.tensors.get(name) as TensorLocation);
    expect(await read('ids')).toEqual(ids);
    expect(await read('odd')).toEqual(odd);
    expect(await read('sums')).toEqual(Uint8Array.from(sums));
    expect(await read('none')).toEqual(new Uint8Array(0));
    // Aligned for any element type although it stands at an odd byte of the file.
    const { byteOffset, buffer, byteLength } = await read('sums');
    expect([byteOffset, buffer.byteLength, byteLength]).toEqual([0, 16, 16]);
  });

  test('refuses data that are not what dtype and shape say, and writes nothing', async () => {
    const file = folder.path('disagree.safetensors');
    const data = new Uint8Array(7);
    const error = await refusalOf(() => writeSafetensorsFile(file, [{ name: 't', dtype: 'F32', shape: [2], data }]));
    expect(error.code).toBe('Internal');
    expect(error.message).toContain('t, F32 [2], has 8 bytes of data, not 7');
    expect(await readdir(folder.path())).not.toContain('disagree.safetensors');
  });
});

describe('readTensorRows', () => {
  test('reads exactly the rows asked for, any of them', async () => {
    const file = folder.path('rows.safetensors');
    const data = Uint8Array.from({ length: 5 * 2 * 3 * 2 }, (_, index) => index);
    await writeSafetensorsFile(file, [
      { name: 'before', dtype: 'U8', shape: [3], data: new Uint8Array(3) },
      { name: 't', dtype: 'BF16', shape: [5, 2, 3], data },
    ]);
    const location = (await readSafetensorsHeader(file)).tensors.get('t') as TensorLocation;
    await fc.assert(
      fc.asyncProperty(fc.nat(5), fc.nat(5), async (first, count) => {
        fc.pre(first + count <= 5);
        expect(await readTensorRows(location, first, count)).toEqual(data.slice(first * 12, (first + count) * 12));
      }),
      { numRuns: 40 },
    );
    for (const [first, count] of [
      [0, 6],
      [5, 1],
      [-1, 1],
      [0.5, 1],
      [0, -1],
    ] as const) {
      expect((await refusalOf(() => readTensorRows(location, first, count))).code).toBe('Internal');
    }
    expect((await refusalOf(() => readTensorRows({ ...location, shape: [] }, 0, 1))).code).toBe('Internal');
  });
});

describe('writeFileAtomic', () => {
  test('puts the chunks one after the other, and replaces what was there', async () => {
    const file = folder.path('replaced');
    await writeFile(file, 'a much longer text that was there before');
    await writeFileAtomic(file, [Buffer.from('one '), new Uint8Array(0), Buffer.from('two')]);
    expect(await readFile(file, 'utf8')).toBe('one two');
    const later = async function* () {
      yield Buffer.from('three');
    };
    await writeFileAtomic(file, later());
    expect(await readFile(file, 'utf8')).toBe('three');
  });

  test('shows nothing under the name until all is written', async () => {
    const file = folder.path('whole');
    const seen: boolean[] = [];
    const chunks = async function* () {
      for (const part of ['a', 'b', 'c']) {
        yield Buffer.from(part);
        seen.push((await readdir(folder.path())).includes('whole'));
      }
    };
    await writeFileAtomic(file, chunks());
    expect(seen).toEqual([false, false, false]);
    expect(await readFile(file, 'utf8')).toBe('abc');
  });

  test('leaves the old file and no temp file when it fails half way', async () => {
    const inside = folder.path('failing');
    await mkdir(inside);
    await writeFile(`${inside}/file`, 'old');
    const chunks = function* () {
      yield Buffer.from('new');
      throw new Error('the disk of the sender');
    };
    const error = await refusalOf(() => writeFileAtomic(`${inside}/file`, chunks()));
    expect(error.message).toContain(`${inside}/file: the disk of the sender`);
    expect(await readdir(inside)).toEqual(['file']);
    expect(await readFile(`${inside}/file`, 'utf8')).toBe('old');
  });

  test('removes the temp file when the name is taken by a folder', async () => {
    const inside = folder.path('taken');
    await mkdir(`${inside}/file`, { recursive: true });
    await refusalOf(() => writeFileAtomic(`${inside}/file`, [Buffer.from('x')]));
    expect(await readdir(inside)).toEqual(['file']);
  });

  test('takes names as long as the file system does', async () => {
    const file = folder.path('€'.repeat(85));
    await writeFileAtomic(file, [Buffer.from('x')]);
    expect(await readFile(file, 'utf8')).toBe('x');
  });

  test('names the file when its folder is missing', async () => {
    const file = folder.path('no-such-folder', 'file');
    await expectRefusal(() => writeFileAtomic(file, []), 'SourceMissing', file);
    await expectRefusal(() => fsyncDirectory(folder.path('gone')), 'SourceMissing', folder.path('gone'));
  });
});
