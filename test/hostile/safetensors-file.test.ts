/** Attacks by the file itself: cut anywhere, lengths that lie, things that are no files. */

import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes, readTensorRows } from '../../shared/safetensors/read-tensor.ts';
import { expectRefusal, fileBytes, makeNamedPipe, temporaryFolder, validFile } from './hostile-files.ts';

const folder = temporaryFolder();
const HEADER = '{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}';

describe('a safetensors file is refused', () => {
  test('when it is cut at any byte', async () => {
    const file = folder.path('cut.safetensors');
    const bytes = validFile([
      { name: 'a', dtype: 'F32', shape: [2, 3] },
      { name: 'b', dtype: 'BF16', shape: [5] },
    ]);
    await writeFile(file, bytes);
    expect((await readSafetensorsHeader(file)).tensors.size).toBe(2);
    for (let length = bytes.length - 1; length >= 0; length--) {
      await truncate(file, length);
      await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file);
    }
  });

  test.each([
    ['2^64 - 1', 0xffff_ffff_ffff_ffffn],
    ['2^63', 0x8000_0000_0000_0000n],
    ['2^53', 0x20_0000_0000_0000n],
    ['2^32', 0x1_0000_0000n],
    ['one more than 100 MB', 100_000_001n],
  ])('when it gives its header a length of %s, in a file that could hold it', async (_, length) => {
    const file = folder.path('length.safetensors');
    await writeFile(file, fileBytes(HEADER, 4, length));
    // Sparse: takes no room on the disk.
    await truncate(file, 5 * 2 ** 30);
    await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file, `${length}`, '100000000');
  });

  test('when it gives its header a length beyond the file, and no memory is taken for it', async () => {
    const file = folder.path('beyond.safetensors');
    for (const length of [100_000_000n, BigInt(HEADER.length + 5)]) {
      await writeFile(file, fileBytes(HEADER, 4, length));
      const before = process.memoryUsage().arrayBuffers;
      await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file, `${length}`, 'cut short');
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(50_000_000);
    }
  });

  test('when it gives its header a length that is too short', async () => {
    const file = folder.path('short.safetensors');
    for (let length = 0; length < HEADER.length; length++) {
      await writeFile(file, fileBytes(HEADER, 4, BigInt(length)));
      await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file);
    }
  });

  test('when one byte follows its last tensor', async () => {
    const file = folder.path('trailing.safetensors');
    await writeFile(file, fileBytes(HEADER, 5));
    await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file, 'belong to no tensor');
  });

  test('when it is empty', async () => {
    const file = folder.path('empty.safetensors');
    await writeFile(file, '');
    await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file, 'found 0 bytes');
  });

  test('when it is the pointer file of a Git LFS clone', async () => {
    const file = folder.path('lfs.safetensors');
    await writeFile(file, 'version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n');
    await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file, 'no safetensors file');
  });

  test('when it is a folder', async () => {
    const file = folder.path('folder.safetensors');
    await mkdir(file);
    await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file, 'a folder');
  });

  test('when it is a named pipe that nobody writes to, without waiting', async () => {
    const file = folder.path('pipe.safetensors');
    makeNamedPipe(file);
    await expectRefusal(() => readSafetensorsHeader(file), 'SafetensorsInvalid', file, 'a named pipe');
  });

  test('when it is an endless device', async () => {
    await expectRefusal(() => readSafetensorsHeader('/dev/zero'), 'SafetensorsInvalid', '/dev/zero', 'a device');
  });

  test('when it is not there, or a link to nothing, or a loop of links', async () => {
    const missing = folder.path('missing.safetensors');
    await expectRefusal(() => readSafetensorsHeader(missing), 'SourceMissing', missing, 'nothing there');
    const dangling = folder.path('dangling.safetensors');
    await symlink('no-such-blob', dangling);
    await expectRefusal(
      () => readSafetensorsHeader(dangling),
      'SourceMissing',
      dangling,
      'a link to a file that is not there',
    );
    const loop = folder.path('loop.safetensors');
    await symlink('loop.safetensors', loop);
    await expectRefusal(() => readSafetensorsHeader(loop), 'SourceMissing', loop, 'a loop of links');
  });
});

describe('a tensor is refused', () => {
  test('when its file was cut since the header was read, before memory is taken for it', async () => {
    const file = folder.path('changed.safetensors');
    await writeFile(file, validFile([{ name: 't', dtype: 'U8', shape: [4, 2] }]));
    const location = (await readSafetensorsHeader(file)).tensors.get('t') as TensorLocation;
    await truncate(file, location.offset + 7);
    await expectRefusal(() => readTensorBytes(location), 'SourceChanged', file, 'tensor t');
    await expectRefusal(() => readTensorRows(location, 3, 1), 'SourceChanged', file, 'tensor t');
    expect(await readTensorRows(location, 2, 1)).toEqual(Uint8Array.of(1, 1));
    const huge = { ...location, shape: [2 ** 50], sizeBytes: 2 ** 50 };
    await expectRefusal(() => readTensorBytes(huge), 'SourceChanged', file, 'tensor t');
  });
});
