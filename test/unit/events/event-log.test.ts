import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventLog } from '../../../coordinator/outbox/event-log.ts';
import type { JobEvent } from '../../../shared/events/job-event.ts';
import { emptyEventLog, STATE_DIRECTORY } from '../../support/empty-event-log.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';

function event(job: string, sequence: number, change: Partial<JobEvent> = {}): JobEvent {
  return { namespace: 'n', job, sequence, atMs: sequence, entity: 'layer', verb: 'committed', data: {}, ...change };
}

function logOf(...events: JobEvent[]): EventLog {
  const log = emptyEventLog();
  for (const entry of events) log.append(entry);
  return log;
}

const sequences = (events: readonly JobEvent[]) => events.map((each) => each.sequence);
const upTo = (count: number, first = 1) => Array.from({ length: count - first + 1 }, (_, index) => first + index);
const appendUpTo = (log: EventLog, job: string, count: number): void => {
  for (let next = log.lastSequence(job) + 1; next <= count; next++) log.append(event(job, next, { data: { next } }));
};

describe('the event log', () => {
  it('reads a job from a cursor, in order, at most as many as asked', async () => {
    const log = logOf(event('a', 1), event('a', 2), event('b', 1), event('a', 3));
    expect(sequences(await log.read('a', 0, 2))).toEqual([1, 2]);
    expect(sequences(await log.read('a', 2, 10))).toEqual([3]);
    expect(await log.read('a', 3, 10)).toEqual([]);
    expect(await log.read('a', 99, 10)).toEqual([]);
    expect(await log.read('unknown', 0, 10)).toEqual([]);
  });

  it('lists jobs in the order of their first events, with their namespaces and last sequences', () => {
    const log = logOf(event('b', 1), event('a', 1, { namespace: 'm' }), event('b', 2));
    expect(log.jobs()).toEqual(['b', 'a']);
    expect([log.lastSequence('b'), log.lastSequence('a'), log.lastSequence('c')]).toEqual([2, 1, 0]);
    expect([log.namespaceOf('b'), log.namespaceOf('a'), log.namespaceOf('c')]).toEqual(['n', 'm', undefined]);
  });

  it.each([
    ['a gap', event('a', 3)],
    ['a repetition', event('a', 1)],
    ['a job that begins at 2', event('b', 2)],
    ['a job that changes its namespace', event('a', 2, { namespace: 'other' })],
    ['a name that no subject could carry', event('a', 2, { verb: 'un.fit' })],
  ])('refuses %s and stays as it was', (_what, wrong) => {
    const log = logOf(event('a', 1));
    expect(() => log.append(wrong)).toThrow(expect.objectContaining({ code: 'Internal' }));
    expect(log.lastSequence('a')).toBe(1);
    expect(log.jobs()).toEqual(['a']);
  });

  it('hands out lists that nobody can change it by', async () => {
    const log = logOf(event('a', 1), event('a', 2));
    ((await log.read('a', 0, 10)) as JobEvent[]).length = 0;
    (log.jobs() as string[]).length = 0;
    expect(await log.read('a', 0, 10)).toHaveLength(2);
    expect(log.jobs()).toEqual(['a']);
  });

  it('tells listeners after the event can be read, until they unsubscribe', () => {
    const log = emptyEventLog();
    const heard: string[] = [];
    const listener = (e: JobEvent) => heard.push(`${e.sequence} of ${log.lastSequence('a')}`);
    const first = log.subscribe(listener);
    const second = log.subscribe(listener);
    log.append(event('a', 1));
    first();
    first();
    log.append(event('a', 2));
    second();
    log.append(event('a', 3));
    expect(heard).toEqual(['1 of 1', '1 of 1', '2 of 2']);
  });

  it('is not stopped by a listener that throws: the others hear, the caller does not', async () => {
    const warned = new Promise<Error>((resolve) => process.once('warning', resolve));
    const log = emptyEventLog();
    const heard: number[] = [];
    log.subscribe(() => {
      throw new Error('a listener broke');
    });
    log.subscribe((e) => heard.push(e.sequence));
    log.append(event('a', 1));
    expect(heard).toEqual([1]);
    expect((await warned).message).toBe('a listener broke');
  });
});

describe('the files of the event log', () => {
  const fileOf = (job: string) => `${STATE_DIRECTORY}/jobs/${job}/events.jsonl`;

  function newDisk(): MemoryDisk {
    const disk = new MemoryDisk();
    disk.placeDirectory(STATE_DIRECTORY);
    return disk;
  }
  const logOn = (disk: MemoryDisk, windowBytesMax?: number): EventLog =>
    new EventLog({
      disk: disk.mount(),
      stateDirectory: STATE_DIRECTORY,
      ...(windowBytesMax === undefined ? {} : { windowBytesMax }),
    });

  it('take what is in memory when it is too much, and are read as if nothing had moved', async () => {
    const log = logOn(newDisk(), 20_000);
    for (let count = 100; count <= 1_500; count += 100) {
      appendUpTo(log, 'a', count);
      appendUpTo(log, 'b', count / 2);
      if (log.isWindowFull) await log.spill();
      expect(log.isWindowFull).toBe(false);
    }
    appendUpTo(log, 'a', 1_503);
    expect(log.extents()[0]?.sequence).toBeGreaterThan(1_000);
    expect(log.extents()[0]?.sequence).toBeLessThan(1_503);
    await fc.assert(
      fc.asyncProperty(fc.nat(1_600), fc.integer({ min: 1, max: 400 }), async (after, limit) => {
        const found = await log.read('a', after, limit);
        expect(sequences(found)).toEqual(upTo(Math.min(1_503, after + limit), after + 1));
        expect(found.every((each) => each.data.next === each.sequence)).toBe(true);
      }),
      { numRuns: 100 },
    );
  });

  it('give a reader every event once while they are being written', async () => {
    const log = logOn(newDisk());
    const seen: number[] = [];
    const reading = (async () => {
      while (seen.length < 400) seen.push(...sequences(await log.read('a', seen.length, 7)));
    })();
    for (let count = 20; count <= 400; count += 20) {
      appendUpTo(log, 'a', count);
      const spilling = log.spill();
      appendUpTo(log, 'a', Math.min(count + 10, 400));
      await spilling;
    }
    await reading;
    expect(seen).toEqual(upTo(400));
  });

  it('are continued by the next process from where a checkpoint says, whatever the dead one left behind that', async () => {
    const disk = newDisk();
    const before = logOn(disk);
    appendUpTo(before, 'a', 300);
    await before.makeDurable();
    const extents = before.extents();
    appendUpTo(before, 'a', 420);
    appendUpTo(before, 'late', 5);
    await before.spill();
    disk.kill();

    const after = logOn(disk);
    await after.restore(extents);
    expect([after.jobs(), after.lastSequence('a')]).toEqual([['a'], 300]);
    appendUpTo(after, 'a', 310);
    appendUpTo(after, 'late', 2);
    await after.makeDurable();
    expect(sequences(await after.read('a', 290, 100))).toEqual(upTo(310, 291));
    expect(sequences(await after.read('a', 0, 400))).toEqual(upTo(310));
    expect(sequences(await after.read('late', 0, 10))).toEqual([1, 2]);
    for (const { job, sizeBytes } of after.extents()) expect(disk.contentOf(fileOf(job))?.length).toBe(sizeBytes);
  });

  it('survive a power cut once they are durable, in folders that were new', async () => {
    const disk = newDisk();
    const before = logOn(disk);
    appendUpTo(before, 'a', 50);
    await before.makeDurable();
    const extents = before.extents();
    disk.powerCut();
    const after = logOn(disk);
    await after.restore(extents);
    expect(sequences(await after.read('a', 0, 100))).toEqual(upTo(50));
  });

  it('that are missing or too short are refused at the start, with what was expected', async () => {
    const disk = newDisk();
    const before = logOn(disk);
    appendUpTo(before, 'a', 3);
    await before.makeDurable();
    const extents = before.extents();
    const whole = disk.contentOf(fileOf('a')) as Buffer;
    disk.place(fileOf('a'), whole.subarray(0, whole.length - 1));
    await expect(logOn(disk).restore(extents)).rejects.toMatchObject({
      code: 'JournalCorrupt',
      message: expect.stringContaining(`expected ${whole.length} bytes (events 1 to 3); found ${whole.length - 1}`),
    });
    await disk.mount().remove(fileOf('a'));
    await expect(logOn(disk).restore(extents)).rejects.toMatchObject({ code: 'JournalCorrupt' });
  });

  it('whose bytes were damaged are not believed: the reader is told which event', async () => {
    const disk = newDisk();
    const log = logOn(disk);
    appendUpTo(log, 'a', 200);
    await log.makeDurable();
    const bytes = disk.contentOf(fileOf('a')) as Buffer;
    const at = bytes.indexOf('"sequence":150,');
    bytes[at + 11] = 0x32;
    disk.place(fileOf('a'), bytes);
    expect(sequences(await log.read('a', 100, 49))).toEqual(upTo(149, 101));
    await expect(log.read('a', 100, 50)).rejects.toMatchObject({
      code: 'JournalCorrupt',
      message: expect.stringContaining('event 150'),
    });
  });

  it('that cannot be made durable are no matter of space, whatever the system says', async () => {
    const disk = newDisk();
    const log = logOn(disk);
    appendUpTo(log, 'a', 1);
    disk.inject({ operation: 'datasync', count: 1, effect: 'ENOSPC' });
    await expect(log.makeDurable()).rejects.toMatchObject({ code: 'StorageFailed' });
  });

  it('that found the disk full keep their events in memory, and take them once there is room', async () => {
    const disk = newDisk();
    const log = logOn(disk);
    appendUpTo(log, 'a', 10);
    disk.inject({ operation: 'write', count: 1, effect: 'ENOSPC' });
    await expect(log.spill()).rejects.toMatchObject({
      code: 'StorageFull',
      message: expect.stringContaining(fileOf('a')),
    });
    expect(sequences(await log.read('a', 0, 100))).toEqual(upTo(10));
    await log.makeDurable();
    expect(sequences(await log.read('a', 0, 100))).toEqual(upTo(10));
    expect(disk.contentOf(fileOf('a'))?.length).toBe(log.extents()[0]?.sizeBytes);
  });
});
