import { appendFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { CoreEvent } from '../../../coordinator/core/events.ts';
import { SYSTEM_DISK } from '../../../coordinator/journal/disk.ts';
import { encodeRecord, Journal } from '../../../coordinator/journal/journal.ts';

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
  });
});
