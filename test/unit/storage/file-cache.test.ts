import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { FileCache, type Grow } from '../../../shared/storage/file-cache.ts';

let root: string;
let directory: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), 'secateur-cache-'));
  directory = join(root, 'files');
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

function filler(sizeBytes: number, content = 'x'): (path: string, grow: Grow) => Promise<void> {
  return async (path, grow) => {
    await grow(sizeBytes);
    writeFileSync(path, content.repeat(sizeBytes));
  };
}

const never = async (): Promise<void> => {
  throw new Error('must not be filled');
};

function bytesInFolder(): number {
  return readdirSync(directory).reduce((sum, name) => sum + statSync(join(directory, name)).size, 0);
}

describe('the cache of local copies', () => {
  it('fills a key once and finds it again', async () => {
    const cache = await FileCache.open(directory, 100);
    const path = await cache.obtain('a', filler(10));
    expect(readFileSync(path, 'utf8')).toBe('xxxxxxxxxx');
    expect(await cache.obtain('a', never)).toBe(path);
  });

  it('lets two callers at once share one download', async () => {
    const cache = await FileCache.open(directory, 100);
    let fills = 0;
    const fill = async (path: string, grow: Grow): Promise<void> => {
      fills += 1;
      await filler(10)(path, grow);
    };
    const [first, second] = await Promise.all([cache.obtain('a', fill), cache.obtain('a', fill)]);
    expect(first).toBe(second);
    expect(fills).toBe(1);
  });

  it('lets the second caller try when the first has failed, and keeps nothing of the failure', async () => {
    const cache = await FileCache.open(directory, 10);
    const failing = async (path: string, grow: Grow): Promise<void> => {
      await filler(10)(path, grow);
      throw new SecateurError('ChecksumMismatch', 'bad');
    };
    const first = cache.obtain('a', failing);
    const second = cache.obtain('a', filler(10));
    await expect(first).rejects.toMatchObject({ code: 'ChecksumMismatch' });
    expect(existsSync(await second)).toBe(true);
    expect(bytesInFolder()).toBe(10);
  });

  it('removes what was used longest ago, and never what is pinned', async () => {
    const cache = await FileCache.open(directory, 30);
    const a = await cache.obtain('a', filler(10));
    const b = await cache.obtain('b', filler(10));
    const c = await cache.obtain('c', filler(10));
    for (const key of ['b', 'c', 'a']) cache.unpin(key);
    cache.pin('b');
    cache.unpin('b');
    await cache.obtain('d', filler(10));
    expect([a, b, c].map((path) => existsSync(path))).toEqual([false, true, true]);
    cache.pin('c');
    await cache.obtain('e', filler(10));
    expect([b, c].map((path) => existsSync(path))).toEqual([false, true]);
  });

  it('says what it needs and what is in use when everything is', async () => {
    const cache = await FileCache.open(directory, 15);
    await cache.obtain('a', filler(10));
    const refused = cache.obtain('b', filler(10));
    await expect(refused).rejects.toMatchObject({
      code: 'LimitExceeded',
      details: { key: 'b', sizeBytes: 10, usedBytes: 10, sizeBytesMax: 15 },
    });
    cache.unpin('a');
    await cache.obtain('b', filler(10));
  });

  it('takes a finished file over where there is room, and removes it where there is none', async () => {
    const cache = await FileCache.open(directory, 15);
    const small = cache.temporaryPath();
    writeFileSync(small, 'small');
    await cache.adopt('small', small, 5);
    expect(readFileSync(cache.pin('small') as string, 'utf8')).toBe('small');
    const big = cache.temporaryPath();
    writeFileSync(big, 'x'.repeat(11));
    await cache.adopt('big', big, 11);
    expect(cache.pin('big')).toBeNull();
    expect(existsSync(big)).toBe(false);
  });

  it('begins empty, whatever a process before has left', async () => {
    const before = await FileCache.open(directory, 100);
    await before.obtain('a', filler(10));
    const cache = await FileCache.open(directory, 100);
    expect(readdirSync(directory)).toEqual([]);
    expect(cache.pin('a')).toBeNull();
  });

  it('holds at most its limit, and never drops a pinned file, whatever is asked of it', async () => {
    const step = fc.record({
      key: fc.constantFrom('a', 'b', 'c', 'd', 'e'),
      action: fc.constantFrom('obtain', 'obtain', 'unpin', 'adopt'),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 40 }), async (steps) => {
        const cache = await FileCache.open(directory, 25);
        const sizes = { a: 3, b: 7, c: 11, d: 13, e: 26 };
        const pinned = new Map<string, { path: string; pins: number }>();
        for (const { key, action } of steps) {
          const sizeBytes = sizes[key];
          const held = pinned.get(key);
          if (action === 'obtain') {
            const path = await cache.obtain(key, filler(sizeBytes, key)).catch(expectLimit);
            if (path !== null) pinned.set(key, { path, pins: (held?.pins ?? 0) + 1 });
          } else if (action === 'adopt') {
            const temporary = cache.temporaryPath();
            writeFileSync(temporary, key.repeat(sizeBytes));
            await cache.adopt(key, temporary, sizeBytes);
          } else if (held !== undefined) {
            cache.unpin(key);
            if (held.pins === 1) pinned.delete(key);
            else held.pins -= 1;
          }
          expect(bytesInFolder()).toBeLessThanOrEqual(25);
          for (const [name, { path }] of pinned) {
            expect(readFileSync(path, 'utf8')).toBe(name.repeat(sizes[name as keyof typeof sizes]));
          }
        }
      }),
      { numRuns: 100 },
    );
  });
});

function expectLimit(thrown: unknown): null {
  expect(thrown).toMatchObject({ code: 'LimitExceeded' });
  return null;
}
