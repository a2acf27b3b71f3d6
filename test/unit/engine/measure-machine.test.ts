/** What a worker measures of its machine when it starts. Figures are of this machine: only that there are some is known. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { measureMachine } from '../../../worker/engine/measure-machine.ts';
import { measureStorage } from '../../../worker/engine/measure-storage.ts';

const CPU = { provider: 'cpu', deviceId: 0, threads: 1 } as const;

describe('a worker measures', () => {
  let folder: string;
  let said: string[];
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-measure-'));
    said = [];
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('its storage and its rate of computation, and leaves no file', async () => {
    const figures = await measureMachine(CPU, join(folder, 'cache'), (text) => said.push(text));
    expect(figures.storageWriteBytesPerSecond).toBeGreaterThan(1e5);
    expect(figures.storageReadBytesPerSecond).toBeGreaterThan(1e5);
    expect(figures.computeFlops).toBeGreaterThan(1e8);
    expect(figures.deviceMemoryBytes).toBe(0);
    expect(readdirSync(join(folder, 'cache'))).toEqual([]);
    expect(said).toEqual([]);
  });

  it('nothing where it cannot, says why, and serves all the same', async () => {
    const file = join(folder, 'file');
    writeFileSync(file, '');
    const figures = await measureMachine(CPU, join(file, 'cache'), (text) => said.push(text));
    expect(figures.storageReadBytesPerSecond).toBe(0);
    expect(figures.storageWriteBytesPerSecond).toBe(0);
    expect(figures.computeFlops).toBeGreaterThan(1e8);
    expect(said).toHaveLength(1);
    expect(said[0]).toContain(`the storage at ${join(file, 'cache')} could not be measured`);
  });

  it.skipIf(!existsSync('/dev/shm'))('storage that knows no direct reads, as storage that does', async () => {
    const shared = mkdtempSync('/dev/shm/secateur-measure-');
    try {
      const { readBytesPerSecond, writeBytesPerSecond } = await measureStorage(shared);
      expect(readBytesPerSecond).toBeGreaterThan(1e5);
      expect(writeBytesPerSecond).toBeGreaterThan(1e5);
      expect(readdirSync(shared)).toEqual([]);
    } finally {
      rmSync(shared, { recursive: true, force: true });
    }
  });
});
