/** The digest of a file that is still being written is that of the whole, in whatever order its parts come. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { FollowingDigest } from '../../../worker/engine/following-digest.ts';

const CONTENT = Buffer.from(Array.from({ length: 3_500_000 }, (_, index) => (index * 2_654_435_761) >>> 24));
/** Parts of the content, as a file has them one behind the other. */
const PARTS = [
  [0, 100],
  [100, 2_000_000],
  [2_000_100, 1],
  [2_000_101, 1_499_899],
] as const;

describe('a digest that follows the writing', () => {
  let folder: string;
  let file: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-digest-'));
    file = join(folder, 'layer');
    writeFileSync(file, '');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  async function written(order: readonly number[]): Promise<FollowingDigest> {
    const digest = await FollowingDigest.open(file);
    const handle = await open(file, 'r+');
    for (const index of order) {
      const [offset, size] = PARTS[index] as readonly [number, number];
      await handle.write(CONTENT, offset, size, offset);
      digest.wrote(offset, size);
    }
    await handle.close();
    return digest;
  }

  it.each([[[0, 1, 2, 3]], [[3, 2, 1, 0]], [[0, 3, 1, 2]]])(
    'is that of the whole file, parts in order %j',
    async (order) => {
      const digest = await written(order);
      const sha256 = createHash('sha256').update(CONTENT).digest('hex');
      expect(await digest.end()).toEqual({ sha256, sizeBytes: CONTENT.length });
      await digest.close();
    },
  );

  it('is none where a part is missing', async () => {
    const digest = await written([0, 1, 3]);
    await expect(digest.end()).rejects.toMatchObject({ code: 'Internal' });
    await digest.close();
  });

  it('is none of a file that was cut short', async () => {
    const digest = await written([1, 2, 3]);
    truncateSync(file, 1000);
    digest.wrote(0, 100);
    await expect(digest.end()).rejects.toMatchObject({ code: 'Internal', message: /ends at|said to be written/ });
    await digest.close();
  });
});
