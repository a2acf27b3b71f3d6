/**
 * The coordinator's only truth: an append-only file of core events, a batch a line, each line with its checksum.
 *
 * Invariants:
 *  1. `append` returns only after its records are on the disk (fdatasync): commands are carried out after that.
 *  2. Line numbers run 1, 2, 3, … without gaps. What is written at once is one line, so a write that was torn, by the
 *     death of the process or of the machine, is always the last line.
 *  3. A damaged last line is cut off at the next start: nothing had been done about it. A bad line anywhere else is
 *     corruption, and refused.
 */
import { constants, type FileHandle, open, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { writeFully } from '../../shared/storage/write-fully.ts';
import type { CoreEvent } from '../core/events.ts';

/** Raised when records get another meaning: a coordinator refuses a journal that it does not understand. */
const JOURNAL_FORMAT = 1;
const FILE_NAME = 'journal.jsonl';

export interface JournalRecord {
  readonly atMs: number;
  readonly event: CoreEvent;
}

interface JournalLine {
  readonly n: number;
  readonly records: readonly JournalRecord[];
}

interface JournalHeader {
  readonly n: 0;
  readonly format: number;
  readonly createdMs: number;
}

export class Journal {
  readonly file: string;
  private records: readonly JournalRecord[];
  private readonly handle: FileHandle;
  private lastNumber: number;
  private sizeBytes: number;

  private constructor(
    file: string,
    handle: FileHandle,
    records: readonly JournalRecord[],
    lastNumber: number,
    sizeBytes: number,
  ) {
    this.file = file;
    this.handle = handle;
    this.records = records;
    this.lastNumber = lastNumber;
    this.sizeBytes = sizeBytes;
  }

  /** Opens the journal of a state folder, or begins one. The caller holds the folder's lock. */
  static async open(stateDirectory: string, nowMs: number): Promise<Journal> {
    const file = join(stateDirectory, FILE_NAME);
    const handle = await open(file, constants.O_RDWR | constants.O_CREAT, 0o600);
    try {
      const bytes = await handle.readFile();
      const { records, lastNumber, goodBytes, hasHeader } = parse(bytes, file);
      if (goodBytes < bytes.length) await handle.truncate(goodBytes);
      const journal = new Journal(file, handle, records, lastNumber, goodBytes);
      if (!hasHeader) {
        await journal.write(encode({ n: 0, format: JOURNAL_FORMAT, createdMs: nowMs }));
        await fsyncDirectory(stateDirectory);
      }
      return journal;
    } catch (thrown) {
      await handle.close();
      throw thrown;
    }
  }

  /**
   * The records of a state folder, for a process that is not its coordinator: no lock is taken and nothing is written,
   * so a line that is being written at this moment counts as not there yet.
   *
   * @throws SourceMissing where the folder has no journal
   */
  static async read(stateDirectory: string): Promise<readonly JournalRecord[]> {
    const file = join(stateDirectory, FILE_NAME);
    try {
      return parse(await readFile(file), file).records;
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code !== 'ENOENT') throw toSecateurError(thrown);
      throw new SecateurError(
        'SourceMissing',
        `${stateDirectory}: expected the state folder of a coordinator or of "secateur run"; found no ${FILE_NAME} in it. Check the path.`,
        { cause: thrown, details: { stateDirectory } },
      );
    }
  }

  /** Of the file as it was opened, in order. Given once: nobody keeps them for the coordinator's whole life. */
  takeRecords(): readonly JournalRecord[] {
    const records = this.records;
    this.records = [];
    return records;
  }

  async append(records: readonly JournalRecord[]): Promise<void> {
    await this.write(encode({ n: this.lastNumber + 1, records }));
    this.lastNumber += 1;
  }

  async close(): Promise<void> {
    await this.handle.close();
  }

  /** Writes at the known end, so that a failed write that is tried again leaves no half a line in the middle. */
  private async write(bytes: Buffer): Promise<void> {
    await writeFully(this.handle, bytes, this.sizeBytes);
    await this.handle.datasync();
    this.sizeBytes += bytes.length;
  }
}

function encode(record: JournalLine | JournalHeader): Buffer {
  const json = JSON.stringify(record);
  return Buffer.from(`${checksum(json)} ${json}\n`);
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(8, '0');
}

interface Parsed {
  readonly records: JournalRecord[];
  readonly lastNumber: number;
  readonly goodBytes: number;
  readonly hasHeader: boolean;
}

function parse(bytes: Buffer, file: string): Parsed {
  const records: JournalRecord[] = [];
  let position = 0;
  let line = 0;
  let complete = 0;
  while (position < bytes.length) {
    const end = bytes.indexOf(0x0a, position);
    if (end < 0) break;
    line += 1;
    const record = decode(bytes.toString('utf8', position, end), line, end + 1 === bytes.length, file);
    if (record === null) break;
    if (line === 1) checkHeader(record, file);
    else records.push(...checkNumber(record as JournalLine, line, file).records);
    position = end + 1;
    complete = line;
  }
  return { records, lastNumber: Math.max(0, complete - 1), goodBytes: position, hasHeader: position > 0 };
}

/** Null for a damaged last line: a write that was cut short. */
function decode(text: string, line: number, isLast: boolean, file: string): JournalLine | JournalHeader | null {
  const json = text.slice(9);
  if (text.slice(0, 8) === checksum(json) && text[8] === ' ') return JSON.parse(json) as JournalLine | JournalHeader;
  if (isLast) return null;
  throw corrupt(file, line, 'its checksum does not fit');
}

function checkHeader(record: JournalLine | JournalHeader, file: string): void {
  if (!('format' in record)) throw corrupt(file, 1, 'it is no journal header');
  if (record.format !== JOURNAL_FORMAT) {
    throw new SecateurError(
      'JournalCorrupt',
      `${file}: written in journal format ${record.format}; this version reads format ${JOURNAL_FORMAT}. Use the version that wrote it, or another state folder.`,
      { details: { file, found: record.format, expected: JOURNAL_FORMAT } },
    );
  }
}

function checkNumber(record: JournalLine, line: number, file: string): JournalLine {
  if (record.n !== line - 1) throw corrupt(file, line, `expected record ${line - 1}, found ${record.n}`);
  return record;
}

function corrupt(file: string, line: number, what: string): SecateurError {
  return new SecateurError(
    'JournalCorrupt',
    `${file}: line ${line} is damaged: ${what}. Restore the file from a backup, or move the state folder away and submit the jobs again.`,
    { details: { file, line } },
  );
}
