/**
 * Documents out of text files: `.txt` and `.md` are one document each, `.jsonl` has one a line in its field `text`.
 *
 * 1. One document is in memory at a time, and none is larger than DOCUMENT_SIZE_BYTES_MAX on disk.
 * 2. Every line of every file is checked, so that a bad line is found whatever the seed draws.
 * 3. Text is taken as it is: no trimming, no change of line ends. Only a byte order mark at a file's beginning goes.
 */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { extname } from 'node:path';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';

/** Tokenizing needs about 50 times a document's size in memory, so this keeps a worker below 2 GiB. */
export const DOCUMENT_SIZE_BYTES_MAX = 32 * 1024 * 1024;

/** What a file is read in: large enough that the system calls do not count. */
const CHUNK_SIZE_BYTES = 1024 * 1024;

const LINE_FEED = 0x0a;
const BYTE_ORDER_MARK = Uint8Array.of(0xef, 0xbb, 0xbf);
const BLANK = /^[ \t\r]*$/;

/** A file whose bytes may lie under another name than the user's: a copy in a worker's cache, the end of a link. */
export interface TextFile {
  /** What the user calls it: its extension says what it holds, and errors name it. */
  readonly file: string;
  /** Where its bytes are read. */
  readonly path: string;
}

/** Where a document stands: bytes of a file, and the line (from 1) that people look for. */
export interface DocumentPlace extends TextFile {
  readonly line: number;
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface TextDocument extends DocumentPlace {
  /** Number of the file in the list of files, from 0. */
  readonly fileIndex: number;
  readonly text: string;
}

type FoundDocument = Omit<TextDocument, 'fileIndex'>;

/**
 * Every document of the files, in their order.
 *
 * @throws CalibrationInvalid naming file:line: an unknown extension, an empty file, a line that is no JSON object with a
 * string `text`, bytes that are not UTF-8, a document that is too large; SourceMissing; StorageFailed
 */
export async function* readDocuments(files: readonly TextFile[]): AsyncGenerator<TextDocument> {
  // All names before any content: a mistake in the last one shows at once.
  const readers = files.map(({ file }) => (isOneDocument(file) ? readWhole : readLines));
  for (const [fileIndex, textFile] of files.entries()) {
    const { file } = textFile;
    let count = 0;
    for await (const document of (readers[fileIndex] as typeof readWhole)(textFile)) {
      count++;
      yield { fileIndex, ...document };
    }
    if (count === 0) {
      throw invalid(file, 1, 'expected text; found an empty file. Remove it from spec.calibration.text, or fill it.');
    }
  }
}

/**
 * The text of one document again.
 *
 * @throws what readDocuments throws; SourceChanged where the file has become shorter since
 */
export async function readDocument(place: DocumentPlace): Promise<string> {
  const handle = await openText(place);
  try {
    const bytes = await readRange(handle, place);
    return isOneDocument(place.file) ? decodeWhole(bytes, place) : decodeLine(bytes, place);
  } finally {
    await handle.close();
  }
}

function isOneDocument(file: string): boolean {
  const extension = extname(file);
  if (extension === '.txt' || extension === '.md') return true;
  if (extension === '.jsonl') return false;
  throw invalid(
    file,
    null,
    `expected a file whose name ends in .txt, .md (one document) or .jsonl (a document a line); found ${extension === '' ? 'no extension' : extension}. Rename or convert it.`,
  );
}

async function* readWhole({ file, path }: TextFile): AsyncGenerator<FoundDocument> {
  const handle = await openText({ file, path });
  let document: FoundDocument | undefined;
  try {
    const sizeBytes = (await handle.stat()).size;
    checkSize(file, 1, sizeBytes);
    if (sizeBytes > 0) {
      const bytes = await readRange(handle, { file, path, line: 1, offset: 0, sizeBytes });
      const offset = markSizeBytes(bytes);
      const place = { file, path, line: 1, offset, sizeBytes: sizeBytes - offset };
      if (place.sizeBytes > 0) document = { ...place, text: decodeWhole(bytes.subarray(offset), place) };
    }
  } finally {
    await handle.close();
  }
  if (document !== undefined) yield document;
}

async function* readLines({ file, path }: TextFile): AsyncGenerator<FoundDocument> {
  let line = 1;
  for await (const { bytes, offset } of splitLines({ file, path })) {
    const mark = offset === 0 ? markSizeBytes(bytes) : 0;
    const place = { file, path, line, offset: offset + mark, sizeBytes: bytes.byteLength - mark };
    const content = bytes.subarray(mark);
    if (!isBlank(content)) yield { ...place, text: decodeLine(content, place) };
    line++;
  }
}

/** The lines of a file without their line feeds; after a last line feed comes no line. */
async function* splitLines(textFile: TextFile): AsyncGenerator<{ bytes: Uint8Array; offset: number }> {
  let line = 1;
  let offset = 0;
  let parts: Uint8Array[] = [];
  let sizeBytes = 0;
  for await (const chunk of readChunks(textFile)) {
    let begin = 0;
    for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, begin)) {
      sizeBytes += end - begin;
      checkSize(textFile.file, line, sizeBytes);
      parts.push(chunk.subarray(begin, end));
      yield { bytes: parts.length === 1 ? (parts[0] as Uint8Array) : Buffer.concat(parts), offset };
      offset += sizeBytes + 1;
      line++;
      begin = end + 1;
      parts = [];
      sizeBytes = 0;
    }
    if (begin < chunk.byteLength) {
      sizeBytes += chunk.byteLength - begin;
      checkSize(textFile.file, line, sizeBytes);
      parts.push(chunk.subarray(begin));
    }
  }
  if (sizeBytes > 0) yield { bytes: Buffer.concat(parts), offset };
}

async function* readChunks(textFile: TextFile): AsyncGenerator<Buffer> {
  const handle = await openText(textFile);
  try {
    // The stream closes the handle, also when the reader stops early.
    yield* handle.createReadStream({ highWaterMark: CHUNK_SIZE_BYTES }) as AsyncIterable<Buffer>;
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
}

function decodeLine(bytes: Uint8Array, place: DocumentPlace): string {
  const { file, line } = place;
  let record: unknown;
  try {
    record = JSON.parse(decode(bytes, file, line));
  } catch (cause) {
    if (cause instanceof SecateurError) throw cause;
    const found = (cause as Error).message;
    throw invalid(
      file,
      line,
      `expected a JSON object such as {"text": "..."}; found invalid JSON: ${found}. Correct the line.`,
      cause,
    );
  }
  if (typeof record !== 'object' || record === null || Array.isArray(record)) {
    throw invalid(
      file,
      line,
      `expected a JSON object such as {"text": "..."}; found ${kindOf(record)}. Correct the line.`,
    );
  }
  if (!Object.hasOwn(record, 'text')) {
    const keys = Object.keys(record).slice(0, 8).join(', ') || 'no field';
    throw invalid(file, line, `expected a field "text"; found ${keys}. Rename the field that holds the text.`);
  }
  const text = (record as { text: unknown }).text;
  if (typeof text !== 'string') {
    throw invalid(file, line, `expected a string in the field "text"; found ${kindOf(text)}. Correct the line.`);
  }
  if (!text.isWellFormed()) {
    throw invalid(
      file,
      line,
      'expected Unicode text; found half of a surrogate pair (\\ud800 to \\udfff alone). Correct the line.',
    );
  }
  return text;
}

function decodeWhole(bytes: Uint8Array, place: DocumentPlace): string {
  try {
    return decode(bytes, place.file, place.line);
  } catch {
    // A line feed is never part of a longer UTF-8 sequence: the first bad line can be found on its own.
    let [line, begin] = [place.line, 0];
    for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, begin)) {
      decode(bytes.subarray(begin, end), place.file, line);
      begin = end + 1;
      line++;
    }
    return decode(bytes.subarray(begin), place.file, line);
  }
}

function decode(bytes: Uint8Array, file: string, line: number): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch (cause) {
    throw invalid(file, line, 'expected UTF-8 text; found bytes that are not UTF-8. Convert the file to UTF-8.', cause);
  }
}

/** Opens a regular file; anything else (a folder, a pipe that nobody writes to) is refused rather than waited for. */
async function openText({ file, path }: TextFile): Promise<FileHandle> {
  try {
    if ((await stat(path)).isFile()) return await open(path, 'r');
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
  throw new SecateurError('SourceMissing', `${file}: expected a file; found something else. Check the path.`, {
    details: { file },
  });
}

async function readRange(handle: FileHandle, place: DocumentPlace): Promise<Uint8Array> {
  const { file, line, offset, sizeBytes } = place;
  const bytes = new Uint8Array(sizeBytes);
  let done = 0;
  while (done < sizeBytes) {
    const { bytesRead } = await handle.read(bytes, done, sizeBytes - done, offset + done);
    if (bytesRead === 0) {
      throw new SecateurError(
        'SourceChanged',
        `${file}:${line}: expected ${sizeBytes} bytes from byte ${offset}; found ${done}. The file was changed while it was read: submit the job again.`,
        { details: { file, line, offset, sizeBytes, found: done } },
      );
    }
    done += bytesRead;
  }
  return bytes;
}

function checkSize(file: string, line: number, sizeBytes: number): void {
  if (sizeBytes <= DOCUMENT_SIZE_BYTES_MAX) return;
  throw invalid(
    file,
    line,
    `expected a document of at most ${DOCUMENT_SIZE_BYTES_MAX} bytes; found at least ${sizeBytes}. Split it into lines of a .jsonl file.`,
  );
}

function markSizeBytes(bytes: Uint8Array): number {
  return BYTE_ORDER_MARK.every((byte, index) => bytes[index] === byte) ? BYTE_ORDER_MARK.byteLength : 0;
}

function isBlank(bytes: Uint8Array): boolean {
  const first = bytes[0];
  // Almost every line begins with a brace: looked at without decoding it.
  if (first !== undefined && first !== 0x20 && first !== 0x09 && first !== 0x0d) return false;
  return BLANK.test(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('latin1'));
}

function kindOf(value: unknown): string {
  if (value === null) return 'null';
  return Array.isArray(value) ? 'a list' : `a value of type ${typeof value}`;
}

function invalid(file: string, line: number | null, problem: string, cause?: unknown): SecateurError {
  const where = line === null ? file : `${file}:${line}`;
  return new SecateurError('CalibrationInvalid', `${where}: ${problem}`, {
    details: line === null ? { file } : { file, line },
    ...(cause === undefined ? {} : { cause }),
  });
}
