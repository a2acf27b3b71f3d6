/** Digests, and work with a bound on how much is done at once. */

import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { settleBounded } from '../../../shared/checkpoint/settle-bounded.ts';
import { digestFile } from '../../../shared/checkpoint/source-digest.ts';
import { parseWeightMap } from '../../../shared/checkpoint/weight-map.ts';
import { expectRefusal, refusalOf, temporaryFolder } from '../../hostile/hostile-files.ts';

const folder = temporaryFolder();

describe('digestFile', () => {
  test.each([0, 1, 1024 * 1024 - 1, 1024 * 1024, 1024 * 1024 + 1, 5 * 1024 * 1024 + 7])(
    'digests %i bytes as SHA-256 of the whole',
    async (sizeBytes) => {
      const bytes = Uint8Array.from({ length: sizeBytes }, (_, index) => (index * 2654435761) >>> 13);
      const file = folder.path(`digest-${sizeBytes}`);
      await writeFile(file, bytes);
      const progress: number[] = [];
      const digest = await digestFile(file, (done) => progress.push(done));
      expect(digest).toEqual({ sha256: createHash('sha256').update(bytes).digest('hex'), sizeBytes });
      expect(progress.at(-1) ?? 0).toBe(sizeBytes);
      expect(progress).toEqual([...progress].sort((a, b) => a - b));
    },
  );

  test('passes on what its listener throws', async () => {
    const file = folder.path('stopped');
    await writeFile(file, 'x');
    const stop = () => {
      throw new Error('stop');
    };
    expect((await refusalOf(() => digestFile(file, stop))).message).toBe('stop');
  });

  test('names a file that is missing and a folder that is no file', async () => {
    const missing = folder.path('missing');
    await expectRefusal(() => digestFile(missing), 'SourceMissing', missing);
    await expectRefusal(() => digestFile(folder.path()), 'CheckpointInvalid', folder.path(), 'a folder');
  });
});

describe('settleBounded', () => {
  test('does all the work, in order of result, never more at once than allowed', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.nat(4), { maxLength: 20 }), fc.integer({ min: 1, max: 5 }), async (items, bound) => {
        let running = 0;
        let most = 0;
        const results = await settleBounded(items, bound, async (item) => {
          running += 1;
          most = Math.max(most, running);
          for (let turn = 0; turn <= item; turn++) await Promise.resolve();
          running -= 1;
          if (item === 4) throw new Error('four');
          return item;
        });
        const outcomes = results.map((result) => (result.status === 'fulfilled' ? result.value : 4));
        expect(outcomes).toEqual(items);
        expect(most).toBeLessThanOrEqual(bound);
        expect(most).toBe(Math.min(bound, items.length));
      }),
      { numRuns: 100 },
    );
  });

  test('counts a synchronous throw as a failure of that item', async () => {
    const results = await settleBounded([1, 2], 2, (item) => {
      if (item === 1) throw new Error('one');
      return Promise.resolve(item);
    });
    expect(results.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
  });
});

describe('parseWeightMap', () => {
  test('reads any map of tensors to plain file names', () => {
    const shardName = fc.stringMatching(/^[A-Za-z0-9_-]{1,10}$/).map((name) => `${name}.safetensors`);
    const map = fc.dictionary(fc.string({ unit: 'grapheme' }), shardName, { minKeys: 1 });
    fc.assert(
      fc.property(map, fc.maxSafeNat(), (weightMap, total) => {
        const text = JSON.stringify({ metadata: { total_size: total }, weight_map: weightMap });
        const parsed = parseWeightMap(Buffer.from(text), 'index');
        expect([...parsed.shardOf]).toEqual(Object.entries(weightMap));
        expect(parsed.totalSizeBytes).toBe(total);
        expect(parsed.warnings).toEqual([]);
      }),
      { numRuns: 300 },
    );
  });

  test('never gives a shard name that leaves the folder, whatever it reads', async () => {
    const piece = fc.constantFrom('..', '/', '\\', 'C:', '.', '\u0000', 'a', '.safetensors', '~', '\u2215');
    const name = fc.array(piece, { maxLength: 5 }).map((pieces) => `${pieces.join('')}.safetensors`);
    fc.assert(
      fc.property(name, (shard) => {
        let shards: string[];
        try {
          shards = [...parseWeightMap(Buffer.from(JSON.stringify({ weight_map: { t: shard } })), 'i').shardOf.values()];
        } catch {
          return;
        }
        for (const accepted of shards)
          expect(accepted).toMatch(/^(?![.]|[A-Za-z]:)(?!.*[.][.])[^/\\\0]+\.safetensors$/);
      }),
      { numRuns: 2000 },
    );
  });
});
