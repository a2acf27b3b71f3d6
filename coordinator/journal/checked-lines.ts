/** Files of JSON lines, each with its checksum: `<crc32, 8 hex digits> <json>\n`. */
import { crc32 } from 'node:zlib';
import type { DiskFile } from './disk.ts';

const CHECKSUM_CHARACTERS = 8;
/** Of a file in memory at a time, beyond the line that is being read. */
const CHUNK_BYTES = 256 * 1024;
const NEWLINE = 0x0a;

export interface FileLine {
  /** Null where the line is damaged. */
  readonly json: string | null;
  readonly position: number;
  /** Behind its newline. */
  readonly end: number;
}

export function encodeLine(json: string): Buffer {
  return Buffer.from(`${checksum(json)} ${json}\n`);
}

function decodeLine(line: Buffer): string | null {
  const text = line.toString('utf8');
  const json = text.slice(CHECKSUM_CHARACTERS + 1);
  return text[CHECKSUM_CHARACTERS] === ' ' && text.slice(0, CHECKSUM_CHARACTERS) === checksum(json) ? json : null;
}

function checksum(json: string): string {
  return crc32(json).toString(16).padStart(CHECKSUM_CHARACTERS, '0');
}

/** The whole lines between two positions; what follows the last newline is not among them. */
export async function* readLines(file: DiskFile, from: number, to: number): AsyncGenerator<FileLine> {
  /** Of the line that has begun: joined once, however many chunks it takes. */
  let parts: Buffer[] = [];
  let position = from;
  for (let at = from; at < to; ) {
    const chunk = await file.read(at, Math.min(CHUNK_BYTES, to - at));
    if (chunk.length === 0) return;
    let begin = 0;
    for (let newline = chunk.indexOf(NEWLINE); newline >= 0; newline = chunk.indexOf(NEWLINE, begin)) {
      parts.push(chunk.subarray(begin, newline));
      begin = newline + 1;
      const end = at + begin;
      yield { json: decodeLine(parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts)), position, end };
      parts = [];
      position = end;
    }
    parts.push(chunk.subarray(begin));
    at += chunk.length;
  }
}
