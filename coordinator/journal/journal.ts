/**
 * The coordinator's only truth: an append-only file of core events, a batch a line, each line with its checksum. It
 * begins with a header and, once it was compacted, a checkpoint: the state instead of what led to it.
 *
 * Invariants:
 *  1. `append` returns only after its records are on the disk (fdatasync): commands are carried out after that.
 *  2. Line numbers run 0, 1, 2, … without gaps. What is written at once is one line, so a write that was torn, by the
 *     death of the process or of the machine, is always the last line.
 *  3. A damaged last line is cut off at the next start: nothing had been done about it. A bad line anywhere else, and
 *     any bad line of a checkpoint, is corruption, and refused.
 *  4. `journal.jsonl` is at any moment a whole journal: a compacted one is written beside it, made durable, renamed,
 *     and appended to only after the rename is durable. What `journal.jsonl.next` holds means nothing.
 *  5. What an earlier process wrote is believed only after it was made durable: that process may have died in between.
 *  6. The id is given at creation and kept by every compaction.
 *  7. A folder with jobs in it had a journal that knew of them: one without records, or none, is lost, not new.
 */

import { randomUUID } from 'node:crypto';
import { dirname, join } from 'node:path';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { jobsFolder } from '../state-folder.ts';
import { encodeLine } from './checked-lines.ts';
import { type Checkpoint, checkpointParts, countParts } from './checkpoint.ts';
import { type Disk, type DiskFile, diskError } from './disk.ts';
import { JOURNAL_FORMAT, type JournalHeader, type JournalRecord, type ParsedJournal, parseJournal } from './parse.ts';

const FILE_NAME = 'journal.jsonl';

export interface CompactionBounds {
  /** Of records since the checkpoint: what a start has to read and parse, in well under a second. */
  readonly bytes: number;
  /** Of records since the checkpoint: what a start has to step through, each some 0.1 ms: a few seconds at most. */
  readonly records: number;
}

const COMPACTION_BOUNDS: CompactionBounds = { bytes: 16 * 1024 * 1024, records: 20_000 };

export interface JournalOptions {
  readonly disk: Disk;
  /** The caller holds its lock. */
  readonly directory: string;
  readonly nowMs: number;
  readonly newId?: () => string;
  readonly bounds?: CompactionBounds;
}

/** A record as it will stand in its line: made into text once, and its size known before it is appended. */
export interface EncodedRecord {
  readonly json: string;
  readonly sizeBytes: number;
}

export function encodeRecord(record: JournalRecord): EncodedRecord {
  const json = JSON.stringify(record);
  return { json, sizeBytes: Buffer.byteLength(json) };
}

/** What a coordinator starts from. */
export interface Replay {
  readonly checkpoint: Checkpoint | null;
  /** After the checkpoint, in order. */
  readonly records: readonly JournalRecord[];
}

const NOTHING: Replay = { checkpoint: null, records: [] };

export class Journal {
  readonly path: string;
  private readonly disk: Disk;
  private readonly bounds: CompactionBounds;
  private readonly header: JournalHeader;
  private file: DiskFile;
  private replay: Replay;
  private lastNumber: number;
  private sizeBytes: number;
  /** Where the records begin. */
  private headBytes: number;
  private tailRecords: number;
  /** After a compaction that found no space: the next attempt waits for this size. */
  private postponedToBytes = 0;

  private constructor(options: JournalOptions, path: string, file: DiskFile, parsed: ParsedJournal) {
    const { header, checkpoint, records } = parsed;
    this.path = path;
    this.disk = options.disk;
    this.bounds = options.bounds ?? COMPACTION_BOUNDS;
    this.file = file;
    this.header = header ?? {
      n: 0,
      format: JOURNAL_FORMAT,
      id: (options.newId ?? randomUUID)(),
      createdMs: options.nowMs,
      checkpointLines: 0,
    };
    this.replay = { checkpoint, records };
    this.lastNumber = parsed.lastNumber;
    this.sizeBytes = parsed.goodBytes;
    this.headBytes = parsed.headBytes;
    this.tailRecords = records.length;
  }

  /**
   * Opens the journal of a state folder, or begins one.
   *
   * @throws JournalCorrupt where it is damaged, or lost: no new one is begun beside the jobs of an old one
   */
  static async open(options: JournalOptions): Promise<Journal> {
    const { disk, directory } = options;
    const path = join(directory, FILE_NAME);
    let file: DiskFile | null = null;
    try {
      // Only a folder without jobs is given a new file.
      if (!(await disk.isEmpty(jobsFolder(directory)))) await (await openOld(disk, directory)).close();
      file = await disk.open(path, 'readWrite');
      const parsed = await parseJournal(file, path);
      await checkNotLost(disk, directory, parsed);
      const journal = new Journal(options, path, file, parsed);
      await journal.settle(parsed);
      return journal;
    } catch (thrown) {
      await file?.close();
      throw diskError(path, 'open the journal', thrown);
    }
  }

  /**
   * What a state folder holds, for a process that is not its coordinator: no lock is taken and nothing is written, so a
   * line that is being written at this moment counts as not there yet.
   *
   * @throws SourceMissing where the folder has no journal, JournalCorrupt where it must have one and has not, or a damaged one
   */
  static async read(disk: Disk, directory: string): Promise<Replay> {
    const path = join(directory, FILE_NAME);
    let file: DiskFile;
    try {
      file = await openOld(disk, directory);
    } catch (thrown) {
      if (toSecateurError(thrown).code !== 'SourceMissing') throw diskError(path, 'read the journal', thrown);
      throw new SecateurError(
        'SourceMissing',
        `${directory}: expected the state folder of a coordinator or of "secateur run"; found no ${FILE_NAME} in it. Check the path.`,
        { cause: thrown, details: { stateDirectory: directory } },
      );
    }
    try {
      const parsed = await parseJournal(file, path);
      await checkNotLost(disk, directory, parsed);
      return { checkpoint: parsed.checkpoint, records: parsed.records };
    } finally {
      await file.close();
    }
  }

  /** Random, of this journal for ever: another state folder has another. */
  get id(): string {
    return this.header.id;
  }

  /** What the file held when it was opened. Given once: nobody keeps it for the coordinator's whole life. */
  takeReplay(): Replay {
    const replay = this.replay;
    this.replay = NOTHING;
    return replay;
  }

  /** After a failure the journal must not be appended to again: a part of the line may be there. */
  async append(records: readonly EncodedRecord[]): Promise<void> {
    const json = `{"n":${this.lastNumber + 1},"records":[${records.map((record) => record.json).join(',')}]}`;
    await this.write(encodeLine(json));
    this.lastNumber += 1;
    this.tailRecords += records.length;
  }

  /**
   * Whether enough records have come since the checkpoint to be worth a new one. They must also outweigh the checkpoint,
   * so at least half of the file is superseded and compaction writes, over time, at most as much as appending did.
   */
  get isCompactionDue(): boolean {
    const tailBytes = this.sizeBytes - this.headBytes;
    const isLong = tailBytes >= this.bounds.bytes || this.tailRecords >= this.bounds.records;
    return isLong && tailBytes >= this.headBytes && this.sizeBytes >= this.postponedToBytes;
  }

  /**
   * Puts a journal in the place of this one that begins with `checkpoint`, which must be what this one amounts to.
   *
   * @throws StorageFull where there is no room for the new file: then the old one is as it was and can be appended to.
   *   After any other error nobody knows which of the two a start would find: the coordinator must end.
   */
  async compact(checkpoint: Checkpoint): Promise<void> {
    const next = `${this.path}.next`;
    const { file, sizeBytes, lastNumber } = await this.writeNext(next, checkpoint);
    try {
      reach('coordinator.journal-compacted');
      await this.disk.rename(next, this.path);
      reach('coordinator.journal-replaced');
      await this.disk.syncDirectory(dirname(this.path));
      await this.file.close();
    } catch (thrown) {
      await file.close();
      const { message, details } = diskError(this.path, 'replace the journal by its compacted form', thrown);
      throw new SecateurError('StorageFailed', message, { details, cause: thrown });
    }
    this.file = file;
    this.lastNumber = lastNumber;
    this.sizeBytes = sizeBytes;
    this.headBytes = sizeBytes;
    this.tailRecords = 0;
    this.postponedToBytes = 0;
  }

  /** Not before the journal has grown by half a bound: a full disk is not written to at every batch. */
  postponeCompaction(): void {
    this.postponedToBytes = this.sizeBytes + this.bounds.bytes / 2;
  }

  /** @throws StorageFailed where its name does not lead to it any more: what is appended now, no start would find */
  async checkInPlace(): Promise<void> {
    if (await this.file.isAt(this.path)) return;
    throw placeLost(dirname(this.path), FILE_NAME);
  }

  async close(): Promise<void> {
    await this.file.close();
  }

  /** Makes what was found (or the header of a new journal) durable before anybody relies on it: invariant 5. */
  private async settle({ lastAppendPosition }: ParsedJournal): Promise<void> {
    if ((await this.file.sizeBytes()) > this.sizeBytes) await this.file.truncate(this.sizeBytes);
    if (this.sizeBytes === 0) {
      const line = encodeLine(JSON.stringify(this.header));
      await this.file.write(line, 0);
      this.sizeBytes = line.length;
      this.headBytes = line.length;
    } else if (lastAppendPosition !== null) {
      await this.writeAgain(lastAppendPosition);
    }
    await this.file.datasync();
    await this.disk.syncDirectory(dirname(this.path));
    await this.disk.remove(`${this.path}.next`);
  }

  /**
   * A process whose fdatasync failed dies and leaves a line that can be read and is on no disk: the system has forgotten
   * that it owes it. Written again, the same bytes at the same place, the next fdatasync tells the truth.
   */
  private async writeAgain(position: number): Promise<void> {
    await this.file.write(await this.file.read(position, this.sizeBytes - position), position);
  }

  private async writeNext(
    path: string,
    checkpoint: Checkpoint,
  ): Promise<{ file: DiskFile; sizeBytes: number; lastNumber: number }> {
    let file: DiskFile | null = null;
    let sizeBytes = 0;
    let lastNumber = 0;
    try {
      file = await this.disk.open(path, 'readWrite');
      await file.truncate(0);
      for (const json of compactedLines(this.header, checkpoint)) {
        const line = encodeLine(json);
        await file.write(line, sizeBytes);
        sizeBytes += line.length;
      }
      lastNumber = countParts(checkpoint);
      await file.datasync();
      return { file, sizeBytes, lastNumber };
    } catch (thrown) {
      await file?.close();
      await this.disk.remove(path).catch(() => undefined); // It means nothing; the next start tries again.
      throw diskError(path, `write the compacted journal (${sizeBytes} bytes so far)`, thrown);
    }
  }

  private async write(bytes: Buffer): Promise<void> {
    try {
      reach('coordinator.journal-unwritten');
      await this.file.write(bytes, this.sizeBytes);
      reach('coordinator.journal-unsynced');
      await this.file.datasync();
      reach('coordinator.journal-synced');
    } catch (thrown) {
      throw diskError(this.path, `append ${bytes.length} bytes to the journal`, thrown);
    }
    this.sizeBytes += bytes.length;
  }
}

/** @throws JournalCorrupt where there is none, and there are jobs */
async function openOld(disk: Disk, directory: string): Promise<DiskFile> {
  try {
    return await disk.open(join(directory, FILE_NAME), 'read');
  } catch (thrown) {
    if (toSecateurError(thrown).code !== 'SourceMissing' || (await disk.isEmpty(jobsFolder(directory)))) throw thrown;
    throw lost(directory, 'is gone');
  }
}

/** Jobs have folders only after the journal knew of them. */
async function checkNotLost(disk: Disk, directory: string, { checkpoint, records }: ParsedJournal): Promise<void> {
  if (checkpoint !== null || records.length > 0 || (await disk.isEmpty(jobsFolder(directory)))) return;
  throw lost(directory, 'is empty or damaged from its beginning on');
}

function lost(directory: string, what: string): SecateurError {
  const path = join(directory, FILE_NAME);
  return new SecateurError(
    'JournalCorrupt',
    `${path}: the journal ${what}, and ${jobsFolder(directory)} holds what its jobs left. Restore the file from a backup, or move the whole state folder away and submit the jobs again, with other destinations.`,
    { details: { file: path } },
  );
}

/** The state folder is not where it was: two coordinators could be at work, and this one for nobody. */
export function placeLost(directory: string, name: string): SecateurError {
  const path = join(directory, name);
  return new SecateurError(
    'StorageFailed',
    `the state folder ${directory} was removed, renamed or replaced while its coordinator ran: ${path} is not the file that it works with. It ends, before it promises what no other start would find. Put the folder back and start the coordinator again, or start it with the folder's new place: it goes on from what the journal there holds.`,
    { details: { path, stateDirectory: directory } },
  );
}

function* compactedLines(header: JournalHeader, checkpoint: Checkpoint): Generator<string> {
  yield JSON.stringify({ ...header, checkpointLines: countParts(checkpoint) });
  let n = 0;
  for (const part of checkpointParts(checkpoint)) {
    n += 1;
    yield JSON.stringify({ n, ...part });
  }
}
