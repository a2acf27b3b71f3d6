import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { indexDocuments } from '../../../worker/calibration/index-documents.ts';
import {
  DOCUMENT_SIZE_BYTES_MAX,
  readDocument,
  readDocuments,
  type TextDocument,
} from '../../../worker/calibration/read-documents.ts';
import { temporaryFolder } from './temporary-folder.ts';

const named = (file: string) => ({ file, path: file });

async function readAll(...files: string[]): Promise<TextDocument[]> {
  const documents: TextDocument[] = [];
  for await (const document of readDocuments(files.map(named))) documents.push(document);
  return documents;
}

function written(name: string, content: string | Uint8Array): string {
  const file = join(temporaryFolder(), name);
  writeFileSync(file, content);
  return file;
}

describe('documents of text files', () => {
  it('are one a file in .txt and .md, as they stand there', async () => {
    const [text, markdown] = [written('a.txt', ' one\r\n\r\ntwo\n'), written('b.md', '# Title\n')];
    expect((await readAll(text, markdown)).map(({ text }) => text)).toEqual([' one\r\n\r\ntwo\n', '# Title\n']);
  });

  it('are one a line in .jsonl, with the line they stand on', async () => {
    const file = written('a.jsonl', '{"text": "one"}\r\n\n  \t\n{"id": 7, "text": "two\\nlines"}\n{"text": ""}');
    expect((await readAll(file)).map(({ line, text }) => [line, text])).toEqual([
      [1, 'one'],
      [4, 'two\nlines'],
      [5, ''],
    ]);
  });

  it('have no byte order mark in front', async () => {
    const [text, lines] = [
      written('a.txt', '\uFEFFone'),
      written('b.jsonl', '\uFEFF{"text": "two"}\n{"text": "\uFEFFthree"}\n'),
    ];
    const documents = await readAll(text, lines);
    expect(documents.map(({ text }) => text)).toEqual(['one', 'two', '\uFEFFthree']);
    for (const document of documents) expect(await readDocument(document)).toBe(document.text);
  });

  it('come back from their place, whatever they hold', async () => {
    const folder = temporaryFolder();
    const text = fc.string({ unit: 'binary' });
    await fc.assert(
      fc.asyncProperty(fc.array(text, { minLength: 1 }), fc.constantFrom('\n', '\r\n', '\n\n'), async (texts, end) => {
        const file = join(folder, 'a.jsonl');
        writeFileSync(file, texts.map((each) => JSON.stringify({ text: each }) + end).join(''));
        const documents = await readAll(file);
        expect(documents.map((document) => document.text)).toEqual(texts);
        const index = await indexDocuments([named(file)]);
        expect(index.count).toBe(texts.length);
        for (const [number, document] of documents.entries()) {
          expect(index.place(number)).toMatchObject({ fileIndex: 0, file, line: document.line });
          expect(await index.read(number)).toBe(document.text);
        }
      }),
      { numRuns: 50 },
    );
  });

  it('are what their own name says, wherever their bytes lie', async () => {
    const path = written('0f3a.bin', '{"text": "one"}\n{"text": 2}\n');
    const documents = readDocuments([{ file: '/data/c4.jsonl', path }]);
    const first = (await documents.next()).value as TextDocument;
    expect(first).toMatchObject({ file: '/data/c4.jsonl', path, text: 'one' });
    expect(await readDocument(first)).toBe('one');
    await expect(documents.next()).rejects.toMatchObject({ details: { file: '/data/c4.jsonl', line: 2 } });
  });

  it.each([-2, -1, 0, 1, 2])('survive an end of line %i bytes from the end of a chunk', async (shift) => {
    const chunkSizeBytes = 1024 * 1024;
    const frame = Buffer.byteLength('{"text":""}\n');
    const long = `${'x'.repeat(chunkSizeBytes - frame - 3 + shift)}\u{1F332}`;
    const texts = [long, 'é'.repeat(chunkSizeBytes), 'last'];
    const file = written('a.jsonl', texts.map((text) => `${JSON.stringify({ text })}\n`).join(''));
    const documents = await readAll(file);
    expect(documents.map(({ text }) => text.length)).toEqual(texts.map((text) => text.length));
    expect(documents.map(({ text }) => text)).toEqual(texts);
    for (const document of documents) expect(await readDocument(document)).toBe(document.text);
  });
});

describe('a text file that cannot be calibrated on', () => {
  const bytes = (...values: (string | number[])[]) =>
    Buffer.concat(values.map((value) => Buffer.from(value as string)));

  it.each<[string, string, string | Uint8Array, string, RegExp]>([
    ['is empty', 'a.txt', '', ':1', /found an empty file/],
    ['holds only a byte order mark', 'a.txt', '\uFEFF', ':1', /found an empty file/],
    ['has only blank lines', 'a.jsonl', '\n \n\t\r\n', ':1', /found an empty file/],
    ['has a name that says nothing', 'a.parquet', 'x', '', /found \.parquet/],
    ['has no extension', 'corpus', 'x', '', /found no extension/],
    ['breaks off in a line', 'a.jsonl', '{"text": "a"}\n{"text": "b', ':2', /invalid JSON/],
    ['has a byte order mark in the middle', 'a.jsonl', '{"text": "a"}\n\uFEFF{"text": "b"}\n', ':2', /invalid JSON/],
    ['holds a list', 'a.jsonl', '["text"]\n', ':1', /found a list/],
    ['holds null', 'a.jsonl', '{"text": "a"}\n\nnull\n', ':3', /found null/],
    ['holds a bare string', 'a.jsonl', '"text"\n', ':1', /found a value of type string/],
    ['calls its text otherwise', 'a.jsonl', '{"content": "a", "url": "b"}\n', ':1', /found content, url/],
    ['inherits its text', 'a.jsonl', '{"__proto__": {"text": "a"}}\n', ':1', /expected a field "text"/],
    ['has numbers for text', 'a.jsonl', '{"text": "a"}\n{"text": 5}\n', ':2', /found a value of type number/],
    ['has null for text', 'a.jsonl', '{"text": null}\n', ':1', /found null/],
    ['has half a surrogate pair', 'a.jsonl', '{"text": "\\ud83c"}\n', ':1', /surrogate/],
    ['is Latin-1 in its third line', 'a.txt', bytes('one\ntwo\ncaf', [0xe9], '\nfour'), ':3', /not UTF-8/],
    ['is Latin-1 in its last line', 'a.txt', bytes('one\ncaf', [0xe9]), ':2', /not UTF-8/],
    ['is Latin-1 in a line', 'a.jsonl', bytes('{"text": "a"}\n{"text": "', [0xe9], '"}\n'), ':2', /not UTF-8/],
    ['is UTF-16', 'a.txt', Buffer.from('\uFEFFone', 'utf16le'), ':1', /not UTF-8/],
    ['is too deep', 'a.jsonl', `${'['.repeat(100_000)}\n`, ':1', /expected a JSON object/],
  ])('because it %s is refused by file and line', async (_, name, content, line, problem) => {
    const file = written(name, content);
    const failure = await readAll(file).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ name: 'SecateurError', code: 'CalibrationInvalid' });
    expect((failure as Error).message).toMatch(problem);
    expect((failure as Error).message.startsWith(`${file}${line}: `)).toBe(true);
  });

  it('because a document is too large is refused before it is read', async () => {
    const [text, lines] = [written('a.txt', ''), written('b.jsonl', '{"text": "a"}\n')];
    truncateSync(text, DOCUMENT_SIZE_BYTES_MAX + 1);
    truncateSync(lines, DOCUMENT_SIZE_BYTES_MAX + 100); // A second line of zeros without an end.
    for (const [file, line] of [
      [text, 1],
      [lines, 2],
    ]) {
      await expect(readAll(file as string)).rejects.toMatchObject({
        code: 'CalibrationInvalid',
        details: { file, line },
      });
    }
  });

  it('is refused for its name before any other file is read', async () => {
    await expect(readAll('/absent/a.txt', '/absent/b.csv')).rejects.toMatchObject({
      code: 'CalibrationInvalid',
      details: { file: '/absent/b.csv' },
    });
  });

  it('because it is not there, or is a folder, is named', async () => {
    const folder = temporaryFolder();
    mkdirSync(join(folder, 'a.txt'));
    for (const name of ['a.txt', 'absent.txt', 'absent.jsonl']) {
      const file = join(folder, name);
      const failure = await readAll(file).catch((thrown: unknown) => thrown);
      expect(failure).toMatchObject({ code: 'SourceMissing' });
      expect((failure as Error).message).toContain(file);
    }
  });

  it('because it became shorter since it was indexed is no shorter document', async () => {
    const file = written('a.txt', 'a long document');
    const index = await indexDocuments([named(file)]);
    truncateSync(file, 6);
    await expect(index.read(0)).rejects.toMatchObject({ code: 'SourceChanged' });
  });
});
