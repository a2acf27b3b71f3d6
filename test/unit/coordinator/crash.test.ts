/** What the coordinator keeps on its disk, through a crash at every single operation on it, and through its failures. */
import { describe, expect, it } from 'vitest';
import { STATE_DIRECTORY } from '../../support/empty-event-log.ts';
import { type DiskFault, MemoryDisk, type MemoryDiskOptions } from '../../support/memory-disk.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { coreEvents, DiskLife } from './disk-life.ts';

/** So many that the last compaction is followed by further events. */
const JOBS = 7;

function newDisk(options: MemoryDiskOptions = {}): MemoryDisk {
  const disk = new MemoryDisk(options);
  disk.placeDirectory(STATE_DIRECTORY);
  return disk;
}

/** Starts a coordinator and lets everything happen; resolves when all of it is durable. */
async function liveOn(disk: MemoryDisk, life: DiskLife): Promise<void> {
  const { loop } = await life.start(disk.mount());
  for (const event of coreEvents(JOBS)) await loop.submit(event);
  await loop.stop();
}

/** How many operations an undisturbed run makes. */
async function countOperations(): Promise<number> {
  const disk = newDisk();
  await liveOn(disk, new DiskLife());
  return disk.operations.length;
}

/** A run with one fault, then a new process, then a power cut and another one: nothing is lost, nothing comes twice. */
async function surviveFault(fault: DiskFault, crash: 'kill' | 'powerCut', seed: number): Promise<DiskLife> {
  const disk = newDisk({ random: seededRandom(seed), onCrash: (each) => each[crash]() });
  const life = new DiskLife();
  disk.inject(fault);
  const crashed = disk.whenCrashed;
  await Promise.race([liveOn(disk, life).catch(() => disk[crash]()), crashed]);
  disk.clearFaults();
  for (const end of ['powerCut', 'kill'] as const) {
    const { loop, events } = await life.start(disk.mount());
    await life.expectWhole(loop, events);
    for (const event of coreEvents(2)) await loop.submit(event);
    await life.expectWhole(loop, events);
    disk[end]();
  }
  return life;
}

const operations = await countOperations();

describe('a coordinator whose process or machine dies', () => {
  it('is tested on a run that compacts its journal and spills its events several times', async () => {
    const disk = newDisk();
    const life = new DiskLife();
    await liveOn(disk, life);
    const count = (start: string) => disk.operations.filter((operation) => operation.startsWith(start)).length;
    expect(count('rename')).toBeGreaterThan(1);
    expect(count(`write ${STATE_DIRECTORY}/jobs/`)).toBeGreaterThan(6);
    expect(life.warnings).toEqual([]);
    const { loop, events } = await life.start(disk.mount());
    await life.expectWhole(loop, events);
  });

  for (const when of ['crashBefore', 'crashAfter'] as const) {
    it(`${when}, at each of ${operations} operations: the process dies, and the next goes on`, async () => {
      for (let count = 1; count <= operations; count++) await surviveFault({ count, effect: when }, 'kill', count);
    });

    it(`${when}, at each of ${operations} operations: the power goes, and the next goes on`, async () => {
      for (let count = 1; count <= operations; count++) {
        for (const seed of [1, 2, 3]) {
          const where = `operation ${count}, seed ${count * 10 + seed}`;
          await surviveFault({ count, effect: when }, 'powerCut', count * 10 + seed).catch((thrown: unknown) => {
            throw new Error(where, { cause: thrown });
          });
        }
      }
    });
  }
});

describe('a coordinator whose disk fails', () => {
  for (const effect of ['EIO', 'ENOSPC'] as const) {
    it(`${effect}, at each of ${operations} operations: it ends or goes on, and the next has everything`, async () => {
      for (let count = 1; count <= operations; count++) {
        for (const crash of ['kill', 'powerCut'] as const) await surviveFault({ count, effect }, crash, count);
      }
    });
  }

  it('an append without space stops it, says what to do, and after space was made a start goes on', async () => {
    const disk = newDisk();
    const life = new DiskLife({ bytes: 1e9, records: 1e9 });
    const { loop } = await life.start(disk.mount());
    const [first, second, ...rest] = [...coreEvents(2)];
    await loop.submit(first!);
    disk.capacityBytes = 600;
    const refused = expect(loop.submit(second!)).rejects;
    await refused.toMatchObject({ code: 'StorageFull', message: expect.stringContaining('/state/journal.jsonl') });
    expect(life.fatal).toHaveLength(1);
    expect(life.fatal[0]?.message).toMatch(
      /cannot append \d+ bytes to the journal: ENOSPC.*Free space on that file system, then start the coordinator again/,
    );
    await expect(loop.submit(rest[0]!)).rejects.toMatchObject({ code: 'StorageFull' });
    disk.kill();

    await expect(life.start(disk.mount()), 'still no space').rejects.toMatchObject({ code: 'StorageFull' });
    disk.kill();
    disk.capacityBytes = Number.POSITIVE_INFINITY;
    const again = await life.start(disk.mount());
    await life.expectWhole(again.loop, again.events);
    expect(again.loop.state.jobs['fake-1']?.phase).toBe('Intake');
    for (const event of [second!, ...rest]) await again.loop.submit(event);
    await life.expectWhole(again.loop, again.events);
    expect(again.loop.state.jobs['fake-2']?.phase).toBe('Cancelled');
  });

  it('a compaction without space stops nothing: it is said, and tried again later', async () => {
    const disk = newDisk();
    const life = new DiskLife();
    const { loop, events } = await life.start(disk.mount());
    disk.inject({ operation: 'write', path: 'journal.jsonl.next', count: 2, effect: 'ENOSPC' });
    for (const event of coreEvents(JOBS)) await loop.submit(event);
    expect(life.warnings.map((error) => [error.code, error.message.includes('journal.jsonl.next')])).toEqual([
      ['StorageFull', true],
    ]);
    expect(disk.operations.filter((operation) => operation.startsWith('rename')).length).toBeGreaterThan(0);
    await life.expectWhole(loop, events);
    expect(life.fatal).toEqual([]);
  });
});
