import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { INITIAL_STATE } from '../../../coordinator/core/state.ts';
import { encodeLine } from '../../../coordinator/journal/checked-lines.ts';
import type { Checkpoint } from '../../../coordinator/journal/checkpoint.ts';
import { SYSTEM_DISK } from '../../../coordinator/journal/disk.ts';
import { encodeRecord, Journal } from '../../../coordinator/journal/journal.ts';
import { MemoryDisk } from '../../support/memory-disk.ts';

const tick: CoreEvent = { type: 'tick' };
const drain = (worker: string): CoreEvent => ({ type: 'workerDraining', worker });

describe('the journal', () => {
  let folder: string;
  const file = (): string => join(folder, 'journal.jsonl');
  const open = (): Promise<Journal> => Journal.open({ disk: SYSTEM_DISK, directory: folder, nowMs: 1 });
  const write = async (...events: CoreEvent[]): Promise<void> => {
    const journal = await open();
    for (const event of events) await journal.append([encodeRecord({ event, atMs: 7 })]);
    await journal.close();
  };
  const read = async (): Promise<CoreEvent[]> => {
    const journal = await open();
    await journal.close();
    return journal.takeReplay().records.map((record) => record.event);
  };

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-journal-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('gives back what was appended, over many openings, numbered without gaps', async () => {
    await write(tick, drain('a'));
    await write(drain('b'));
    expect(await read()).toEqual([tick, drain('a'), drain('b')]);
    const journal = await open();
    expect(journal.takeReplay().records.map((record) => record.atMs)).toEqual([7, 7, 7]);
    expect(journal.takeReplay().records, 'they are given once').toEqual([]);
    await journal.close();
  });

  it('cut at any byte of its last record, it loses that record and nothing else, and goes on', async () => {
    await write(tick, drain('a'));
    const whole = readFileSync(file());
    const lastLine = whole.lastIndexOf(0x0a, whole.length - 2) + 1;
    for (let length = lastLine; length < whole.length; length++) {
      writeFileSync(file(), whole.subarray(0, length));
      expect(await read(), `cut at byte ${length}`).toEqual([tick]);
      expect(readFileSync(file()).length, 'the rest is cut off').toBe(lastLine);
      await write(drain('c'));
      expect(await read()).toEqual([tick, drain('c')]);
    }
  });

  it('a batch is one line: cut anywhere, it is gone as a whole', async () => {
    await write(tick);
    const journal = await open();
    await journal.append([drain('a'), drain('b')].map((event) => encodeRecord({ event, atMs: 8 })));
    await journal.close();
    expect(await read()).toEqual([tick, drain('a'), drain('b')]);
    const whole = readFileSync(file());
    // What a power cut may leave: the length of the write without its first block.
    const torn = Buffer.from(whole);
    torn.fill(0, whole.lastIndexOf(0x0a, whole.length - 2) + 1, whole.length - 20);
    writeFileSync(file(), torn);
    expect(await read()).toEqual([tick]);
  });

  it('a last line whose bytes were damaged is cut off like a short one', async () => {
    await write(tick, drain('a'));
    const bytes = readFileSync(file());
    bytes[bytes.length - 5] = 0x21;
    writeFileSync(file(), bytes);
    expect(await read()).toEqual([tick]);
  });

  it('a damaged line before the last is refused with its number', async () => {
    await write(tick, drain('a'), drain('b'));
    const bytes = readFileSync(file());
    const second = bytes.indexOf(0x0a) + 12;
    bytes[second] = (bytes[second] ?? 0) ^ 1;
    writeFileSync(file(), bytes);
    await expect(read()).rejects.toMatchObject({ code: 'JournalCorrupt', message: expect.stringContaining('line 2') });
  });

  it('a record that is missing in the middle is refused', async () => {
    await write(tick, drain('a'), drain('b'));
    const lines = readFileSync(file(), 'utf8').split('\n');
    lines.splice(2, 1);
    writeFileSync(file(), lines.join('\n'));
    await expect(read()).rejects.toMatchObject({
      code: 'JournalCorrupt',
      message: expect.stringContaining('expected record 2, found 3'),
    });
  });

  it('a file that is no journal is refused, not overwritten', async () => {
    appendFileSync(file(), 'hello\nworld\n');
    await expect(read()).rejects.toMatchObject({ code: 'JournalCorrupt' });
    expect(readFileSync(file(), 'utf8')).toBe('hello\nworld\n');
    writeFileSync(file(), Buffer.alloc(4096));
    await expect(read()).rejects.toMatchObject({ code: 'JournalCorrupt' });
    expect(readFileSync(file())).toHaveLength(4096);
  });

  const damages: [string, (whole: Buffer) => Buffer | null][] = [
    ['gone', () => null],
    ['empty', () => Buffer.alloc(0)],
    ['all zeros', (whole) => Buffer.alloc(whole.length)],
    ['cut inside its header', (whole) => whole.subarray(0, 50)],
    ['cut behind its header', (whole) => whole.subarray(0, whole.indexOf(0x0a) + 1)],
    ['damaged in the only record that is left', (whole) => whole.subarray(0, whole.indexOf(0x0a) + 20)],
  ];
  it.each(damages)('%s beside the folders of jobs is lost, not new', async (_, damage) => {
    await write(tick, drain('a'));
    mkdirSync(join(folder, 'jobs', 'a-job'), { recursive: true });
    expect(await read(), 'whole, it is opened').toEqual([tick, drain('a')]);
    const left = damage(readFileSync(file()));
    if (left === null) rmSync(file());
    else writeFileSync(file(), left);
    const refused = {
      code: 'JournalCorrupt',
      message: expect.stringMatching(/journal\.jsonl: .*Restore the file from a backup/),
    };
    await expect(read()).rejects.toMatchObject(refused);
    await expect(Journal.read(SYSTEM_DISK, folder)).rejects.toMatchObject(refused);
    expect(existsSync(file()) ? readFileSync(file()) : null, 'nothing was written').toEqual(left);
    rmSync(join(folder, 'jobs', 'a-job'), { recursive: true });
    if (left === null || left.length < 100) expect(await read(), 'a folder without jobs begins anew').toEqual([]);
  });

  it('whose folder was renamed, removed or replaced says so, and names it', async () => {
    const journal = await open();
    await journal.checkInPlace();
    renameSync(folder, `${folder}-moved`);
    const lost = {
      code: 'StorageFailed',
      message: expect.stringContaining(`the state folder ${folder} was removed, renamed`),
    };
    await expect(journal.checkInPlace()).rejects.toMatchObject(lost);
    mkdirSync(folder);
    await write(tick);
    await expect(journal.checkInPlace(), 'another journal in its place').rejects.toMatchObject(lost);
    rmSync(folder, { recursive: true });
    renameSync(`${folder}-moved`, folder);
    await journal.checkInPlace();
    await journal.close();
  });
});

describe('a compacted journal', () => {
  const directory = '/state';
  const path = `${directory}/journal.jsonl`;
  const bounds = { bytes: 300, records: 1_000 };
  const checkpoint: Checkpoint = {
    state: { ...INITIAL_STATE, epoch: 3, jobs: JSON.parse('{"__proto__":{"id":"odd"},"b":{"id":"b"}}'), queue: ['b'] },
    lastMs: 99,
    events: [{ job: 'b', namespace: 'n', sequence: 2, sizeBytes: 40 }],
  };
  let disk: MemoryDisk;
  const open = (): Promise<Journal> =>
    Journal.open({ disk: disk.mount(), directory, nowMs: 1, newId: () => 'the-id', bounds });
  const record = (event: CoreEvent) => encodeRecord({ event, atMs: 7 });
  const journalWithTail = async (): Promise<Journal> => {
    const journal = await open();
    for (let count = 0; !journal.isCompactionDue; count++) await journal.append([record(drain(`w${count}`))]);
    return journal;
  };

  beforeEach(() => {
    disk = new MemoryDisk();
    disk.placeDirectory(directory);
  });

  it('begins with the checkpoint, keeps its id, and goes on with the records after it', async () => {
    const journal = await journalWithTail();
    await journal.compact(checkpoint);
    await journal.append([record(drain('after'))]);
    await journal.close();
    const again = await open();
    const replay = again.takeReplay();
    expect(replay).toEqual({ checkpoint, records: [{ event: drain('after'), atMs: 7 }] });
    expect(Object.keys(replay.checkpoint?.state.jobs ?? {})).toEqual(['__proto__', 'b']);
    expect(again.id).toBe('the-id');
    expect(again.takeReplay()).toEqual({ checkpoint: null, records: [] });
  });

  it('is due when its records exceed a bound and outweigh the checkpoint', async () => {
    const journal = await open();
    const few = { ...checkpoint, state: INITIAL_STATE };
    await journal.compact(few);
    expect(journal.isCompactionDue).toBe(false);
    const headBytes = disk.contentOf(path)?.length ?? 0;
    expect(headBytes).toBeLessThan(bounds.bytes);
    const large = { ...checkpoint, events: Array.from({ length: 50 }, () => checkpoint.events[0]!) };
    await journal.compact(large);
    const largeHeadBytes = disk.contentOf(path)?.length ?? 0;
    while (!journal.isCompactionDue) await journal.append([record(tick)]);
    const tailBytes = (disk.contentOf(path)?.length ?? 0) - largeHeadBytes;
    expect(tailBytes).toBeGreaterThanOrEqual(largeHeadBytes);
    expect(tailBytes).toBeLessThan(largeHeadBytes + 100);
  });

  it('of which any line of the checkpoint is damaged or missing is refused, the last one too', async () => {
    const journal = await open();
    await journal.compact(checkpoint);
    const whole = disk.contentOf(path) as Buffer;
    for (let end = whole.indexOf(0x0a) + 1; end < whole.length; end++) {
      disk.place(path, whole.subarray(0, end));
      await expect(open(), `cut at byte ${end}`).rejects.toMatchObject({ code: 'JournalCorrupt' });
      const damaged = Buffer.from(whole);
      damaged[end] = (damaged[end] ?? 0) ^ 1;
      disk.place(path, damaged);
      await expect(open(), `damaged at byte ${end}`).rejects.toMatchObject({ code: 'JournalCorrupt' });
    }
  });

  it('that was being written when the process died means nothing, and is removed', async () => {
    const journal = await journalWithTail();
    disk.inject({ operation: 'rename', count: 1, effect: 'crashBefore' });
    void journal.compact(checkpoint);
    await disk.whenCrashed;
    expect(disk.contentOf(`${path}.next`)).toBeDefined();
    const again = await open();
    expect(again.takeReplay().checkpoint).toBeNull();
    expect(disk.contentOf(`${path}.next`)).toBeUndefined();
  });
});

describe('what an earlier process wrote', () => {
  it('is believed only after it is durable: a power cut right after the opening takes nothing of it', async () => {
    const disk = new MemoryDisk();
    disk.placeDirectory('/state');
    const open = (): Promise<Journal> => Journal.open({ disk: disk.mount(), directory: '/state', nowMs: 1 });
    const first = await open();
    disk.inject({ operation: 'datasync', count: 1, effect: 'crashBefore' });
    void first.append([encodeRecord({ event: tick, atMs: 7 })]);
    await disk.whenCrashed;
    const found = (await open()).takeReplay().records;
    expect(found).toHaveLength(1);
    disk.powerCut();
    expect((await open()).takeReplay().records).toEqual(found);
  });

  it('in another format is refused, and says which', async () => {
    const disk = new MemoryDisk();
    disk.place('/state/journal.jsonl', encodeLine('{"n":0,"format":1,"createdMs":1}'));
    await expect(Journal.open({ disk: disk.mount(), directory: '/state', nowMs: 1 })).rejects.toMatchObject({
      code: 'JournalCorrupt',
      message: expect.stringContaining('written in journal format 1; this version reads format 3'),
    });
  });
});
