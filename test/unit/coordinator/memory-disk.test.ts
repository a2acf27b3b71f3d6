/** The disk that other tests crash: it must lose what a real one may lose, or they prove nothing. */
import { beforeEach, describe, expect, it } from 'vitest';
import type { Disk } from '../../../coordinator/journal/disk.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';
import { seededRandom } from '../../support/seeded-random.ts';

describe('a disk in memory', () => {
  let disk: MemoryDisk;
  let mounted: Disk;

  async function write(path: string, text: string, sync: 'synced' | 'unsynced'): Promise<void> {
    const file = await mounted.open(path, 'readWrite');
    await file.write(Buffer.from(text), 0);
    if (sync === 'synced') await file.datasync();
    await file.close();
  }
  const text = (path: string) => disk.contentOf(path)?.toString();

  beforeEach(() => {
    // Random 0: a power cut takes everything that it may.
    disk = new MemoryDisk({ random: () => 0 });
    disk.placeDirectory('/d');
    mounted = disk.mount();
  });

  it('keeps through a power cut what was synced, with its name, and nothing else', async () => {
    await write('/d/a', 'durable', 'synced');
    await mounted.syncDirectory('/d');
    await write('/d/a', 'DURABLE and more', 'unsynced');
    await write('/d/nameless', 'synced, its name is not', 'synced');
    disk.powerCut();
    expect([text('/d/a'), text('/d/nameless')]).toEqual(['durable', undefined]);
  });

  it('keeps everything written when only the process dies', async () => {
    await write('/d/a', 'written', 'unsynced');
    disk.kill();
    expect(text('/d/a')).toBe('written');
  });

  it('undoes a rename that was not synced, and never shows half of one', async () => {
    for (const name of ['old', 'new']) await write(`/d/${name}`, name, 'synced');
    await mounted.syncDirectory('/d');
    await mounted.rename('/d/new', '/d/old');
    expect([text('/d/old'), text('/d/new')]).toEqual(['new', undefined]);
    disk.powerCut();
    expect([text('/d/old'), text('/d/new')]).toEqual(['old', 'new']);
  });

  it('loses a file whose folder was new and not synced', async () => {
    await mounted.makeDirectory('/d/e/f');
    await write('/d/e/f/a', 'text', 'synced');
    await mounted.syncDirectory('/d/e/f');
    await mounted.syncDirectory('/d');
    disk.powerCut();
    expect(text('/d/e/f/a')).toBeUndefined();
  });

  it('tears what was not synced, in every way: gone, whole, its beginning, some of its sectors', async () => {
    const seen = new Set<string>();
    for (let seed = 0; seed < 200; seed++) {
      disk = new MemoryDisk({ random: seededRandom(seed) });
      disk.place('/d/a', Buffer.alloc(0));
      mounted = disk.mount();
      await write('/d/a', 'x'.repeat(2_048), 'unsynced');
      disk.powerCut();
      const found = text('/d/a') ?? '';
      if (found.includes('\0')) seen.add('sectors');
      else seen.add(found.length === 0 ? 'gone' : found.length === 2_048 ? 'whole' : 'beginning');
    }
    expect([...seen].sort()).toEqual(['beginning', 'gone', 'sectors', 'whole']);
  });

  it('forgets what a failed datasync owed: readable until the power goes, whatever is synced later', async () => {
    await write('/d/a', 'before', 'synced');
    await mounted.syncDirectory('/d');
    const file = await mounted.open('/d/a', 'readWrite');
    await file.write(Buffer.from('after '), 0);
    disk.inject({ operation: 'datasync', path: '/d/a', count: 1, effect: 'EIO' });
    await expect(file.datasync()).rejects.toMatchObject({ code: 'EIO' });
    await file.datasync();
    expect(text('/d/a')).toBe('after ');
    disk.powerCut();
    expect(text('/d/a')).toBe('before');
  });

  it('that is full takes what fits and refuses the rest', async () => {
    disk.capacityBytes = 5;
    await expect(write('/d/a', 'seven b', 'synced')).rejects.toMatchObject({ code: 'ENOSPC' });
    expect(text('/d/a')).toBe('seven');
  });

  it('never answers a process that died, nor does anything for it', async () => {
    const file = await mounted.open('/d/a', 'readWrite');
    disk.inject({ operation: 'write', count: 2, effect: 'crashAfter' });
    await file.write(Buffer.from('1'), 0);
    let isAnswered = false;
    const answered = (): void => {
      isAnswered = true;
    };
    const crashed = disk.whenCrashed;
    void file.write(Buffer.from('2'), 1).then(answered, answered);
    await crashed;
    void file.write(Buffer.from('3'), 2).then(answered, answered);
    void mounted.remove('/d/a').then(answered, answered);
    await new Promise(setImmediate);
    expect([isAnswered, text('/d/a')]).toEqual([false, '12']);
  });
});
