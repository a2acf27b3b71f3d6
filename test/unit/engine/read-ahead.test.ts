/** What is read ahead, what is not, and that nothing that goes wrong there is felt. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { ReadAhead } from '../../../worker/engine/read-ahead.ts';

const SIZE_BYTES = 10_000_000;

describe('reading ahead', () => {
  let folder: string;
  let file: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-ahead-'));
    file = join(folder, 'shard');
    writeFileSync(file, Buffer.alloc(SIZE_BYTES));
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('reads every range whole', async () => {
    const ahead = new ReadAhead();
    const ranges = [
      { file, offset: 1, sizeBytes: 9_000_000 },
      { file, offset: 9_500_000, sizeBytes: 17 },
    ];
    expect(await ahead.begin(ranges)).toBe(9_000_017);
    expect(await ahead.begin([{ file, offset: 0, sizeBytes: 5 }])).toBe(5);
  });

  it('leaves out what would take more than half of the memory that is free', async () => {
    const ahead = new ReadAhead();
    const ranges = [{ file, offset: 0, sizeBytes: 1_000_000 }];
    expect(await ahead.begin(ranges, 1_999_999)).toBe(0);
    expect(await ahead.begin(ranges, 2_000_000)).toBe(1_000_000);
  });

  it('ends at the end of a file, and at a file that is not there, without an error', async () => {
    const ahead = new ReadAhead();
    expect(await ahead.begin([{ file, offset: SIZE_BYTES - 3, sizeBytes: 100 }])).toBe(3);
    expect(await ahead.begin([{ file: join(folder, 'none'), offset: 0, sizeBytes: 100 }])).toBe(0);
    expect(await ahead.begin([{ file, offset: 0, sizeBytes: 4 }])).toBe(4);
  });

  it('gives an earlier request up for a later one', async () => {
    const ahead = new ReadAhead();
    // Many times the file: over only because it is given up.
    const first = ahead.begin(
      Array.from({ length: 100_000 }, () => ({ file, offset: 0, sizeBytes: SIZE_BYTES })),
      1e15,
    );
    expect(await ahead.begin([{ file, offset: 0, sizeBytes: 7 }])).toBe(7);
    expect(await first).toBeLessThan(100_000 * SIZE_BYTES);
  });
});
