import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CursorFile } from '../../../coordinator/outbox/cursor-file.ts';
import { subjectsCover } from '../../../coordinator/outbox/event-stream.ts';
import { retryDelayMs } from '../../../coordinator/outbox/retry-delay.ts';
import { Wake } from '../../../coordinator/outbox/wake.ts';

describe('the cursor file', () => {
  let folder: string;
  let path: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'secateur-cursor-'));
    path = join(folder, 'deep', 'cursors.json');
  });
  afterEach(() => rm(folder, { recursive: true }));

  it('has after a restart what it had before, and leaves nothing beside itself', async () => {
    const before = await CursorFile.load({ path });
    before.use('SECATEUR', 'yesterday');
    before.set('a', { sequence: 3, streamSequence: 7 });
    await Promise.all([before.flush(), before.flush()]);
    const after = await CursorFile.load({ path });
    after.use('SECATEUR', 'yesterday');
    expect(after.get('a')).toEqual({ sequence: 3, streamSequence: 7 });
    expect(await readdir(join(folder, 'deep'))).toEqual(['cursors.json']);
  });

  it.each([
    ['another creation time', 'SECATEUR', 'today'],
    ['another name', 'OTHER', 'yesterday'],
  ])('forgets its entries for a stream with %s', async (_what, stream, createdAt) => {
    const file = await CursorFile.load({ path });
    file.use('SECATEUR', 'yesterday');
    file.set('a', { sequence: 3, streamSequence: 7 });
    file.use(stream, createdAt);
    expect(file.get('a')).toBeUndefined();
  });

  it.each([
    ['text that is no JSON', '{"version":1,'],
    ['an unknown version', '{"version":2,"stream":"S","createdAt":"t","jobs":{}}'],
    [
      'a negative sequence',
      '{"version":1,"stream":"S","createdAt":"t","jobs":{"a":{"sequence":-1,"streamSequence":0}}}',
    ],
  ])('begins empty, with a warning, from %s', async (_what, content) => {
    const warnings: string[] = [];
    const logger = { info: () => {}, warn: (_fields: object, message: string) => warnings.push(message) };
    await writeFile(join(folder, 'c.json'), content);
    const file = await CursorFile.load({ path: join(folder, 'c.json'), logger });
    file.use('S', 't');
    expect(file.get('a')).toBeUndefined();
    expect(warnings).toHaveLength(1);
  });

  it('does not throw where it cannot be written, warns, and is written once it can', async () => {
    const warnings: string[] = [];
    const logger = { info: () => {}, warn: (_fields: object, message: string) => warnings.push(message) };
    await writeFile(join(folder, 'deep'), 'a file where the folder should be');
    const file = await CursorFile.load({ path, logger });
    file.use('S', 't');
    warnings.length = 0;
    await file.flush();
    expect(warnings).toEqual([expect.stringContaining('cannot be written')]);
    await rm(join(folder, 'deep'));
    await file.flush();
    expect(JSON.parse(await readFile(path, 'utf8'))).toMatchObject({ version: 1, stream: 'S' });
  });
});

describe('the wait between attempts', () => {
  it('lies between half of the ceiling and the ceiling, and the ceiling never passes the maximum', () => {
    fc.assert(
      fc.property(fc.nat(5000), fc.double({ min: 0, max: 0.999, noNaN: true }), (attempt, random) => {
        const ceiling = Math.min(10_000, 250 * 2 ** attempt);
        const waitMs = retryDelayMs({ initialMs: 250, maxMs: 10_000 }, attempt, () => random);
        expect(waitMs).toBeGreaterThanOrEqual(ceiling / 2);
        expect(waitMs).toBeLessThanOrEqual(ceiling);
      }),
    );
  });
});

describe('the subjects of a stream', () => {
  it.each([
    ['secateur.>', 'secateur.n.j.>', true],
    ['>', 'secateur.n.j.>', true],
    ['secateur.n.>', 'secateur.n.j.>', true],
    ['secateur.*.*.>', 'secateur.n.j.>', true],
    ['secateur.m.>', 'secateur.n.j.>', false],
    ['secateur.n.j.*.*', 'secateur.n.j.>', false],
    ['secateur.n.j', 'secateur.n.j.>', false],
    ['other.>', 'secateur.n.j.>', false],
  ])('%s receives %s: %s', (pattern, filter, expected) => {
    expect(subjectsCover(['unrelated', pattern], filter)).toBe(expected);
  });
});

describe('the bell of a loop', () => {
  it('wakes who waits, counts rings without a sleeper as one, and wakes by itself after a while', async () => {
    const wake = new Wake();
    const woken = wake.wait(60_000);
    wake.ring();
    await woken;
    wake.ring();
    wake.ring();
    await wake.wait(60_000);
    let rang = false;
    const second = wake.wait(60_000).then(() => {
      rang = true;
    });
    await Promise.resolve();
    expect(rang).toBe(false);
    wake.ring();
    await second;
    await wake.wait(1);
  });
});
