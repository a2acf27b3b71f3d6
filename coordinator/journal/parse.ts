/** Reads a journal: header, checkpoint, records; and says where a torn last line begins. journal.ts has the invariants. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { CoreEvent } from '../core/events.ts';
import { readLines } from './checked-lines.ts';
import { type Checkpoint, joinParts } from './checkpoint.ts';
import type { DiskFile } from './disk.ts';

/** Raised when records get another meaning: a coordinator refuses a journal that it does not understand. */
export const JOURNAL_FORMAT = 3;
/** A header's line is half as long. A file without one is new, torn in its first write, only where it is no longer than this. */
const HEADER_BYTES_MAX = 256;

export interface JournalRecord {
  readonly atMs: number;
  readonly event: CoreEvent;
}

export interface JournalHeader {
  readonly n: 0;
  readonly format: number;
  readonly id: string;
  readonly createdMs: number;
  /** Lines after the header that are the checkpoint; 0 in a journal that was never compacted. */
  readonly checkpointLines: number;
}

interface JournalLine {
  readonly n: number;
  readonly records: readonly JournalRecord[];
}

export interface ParsedJournal {
  /** Null where the file is new, or its very first write was torn. */
  readonly header: JournalHeader | null;
  readonly checkpoint: Checkpoint | null;
  readonly records: readonly JournalRecord[];
  readonly lastNumber: number;
  /** Up to the end of the last good line. */
  readonly goodBytes: number;
  /** Header and checkpoint. */
  readonly headBytes: number;
  /** Of the last line, unless it is the checkpoint's: that one was durable before the journal had its name. */
  readonly lastAppendPosition: number | null;
}

export async function parseJournal(file: DiskFile, path: string): Promise<ParsedJournal> {
  const sizeBytes = await file.sizeBytes();
  let header: JournalHeader | null = null;
  const parts: unknown[] = [];
  const records: JournalRecord[] = [];
  let [number, goodBytes, headBytes] = [-1, 0, 0];
  let lastAppendPosition: number | null = null;
  for await (const { json, position, end } of readLines(file, 0, sizeBytes)) {
    const isInCheckpoint: boolean = header !== null && number < header.checkpointLines;
    if (json === null && end === sizeBytes && !isInCheckpoint) break;
    if (json === null) throw corrupt(path, number + 2, 'its checksum does not fit');
    const line = JSON.parse(json) as JournalLine;
    number += 1;
    if (header === null) header = checkHeader(line, path);
    else if (line.n !== number) throw corrupt(path, number + 1, `expected record ${number}, found ${line.n}`);
    else if (isInCheckpoint) parts.push(line);
    else for (const record of line.records) records.push(record);
    goodBytes = end;
    if (number <= header.checkpointLines) headBytes = end;
    lastAppendPosition = header.checkpointLines > 0 && number <= header.checkpointLines ? null : position;
  }
  if (header === null && sizeBytes > HEADER_BYTES_MAX) throw corrupt(path, 1, 'it is no journal header');
  if (header !== null && number < header.checkpointLines) {
    throw corrupt(path, number + 2, `the checkpoint has ${header.checkpointLines} lines, the file ends before`);
  }
  const checkpoint = parts.length === 0 ? null : joinParts(parts);
  return { header, checkpoint, records, lastNumber: Math.max(0, number), goodBytes, headBytes, lastAppendPosition };
}

function checkHeader(line: object, path: string): JournalHeader {
  if (!('format' in line)) throw corrupt(path, 1, 'it is no journal header');
  if (line.format !== JOURNAL_FORMAT) {
    throw new SecateurError(
      'JournalCorrupt',
      `${path}: written in journal format ${line.format}; this version reads format ${JOURNAL_FORMAT}. Use the version that wrote it, or another state folder.`,
      { details: { file: path, found: String(line.format), expected: JOURNAL_FORMAT } },
    );
  }
  return line as JournalHeader;
}

function corrupt(file: string, line: number, what: string): SecateurError {
  return new SecateurError(
    'JournalCorrupt',
    `${file}: line ${line} is damaged: ${what}. Restore the file from a backup, or move the state folder away and submit the jobs again.`,
    { details: { file, line } },
  );
}
