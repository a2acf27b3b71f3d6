/** Where every document of a corpus stands, without its text: 32 bytes a document. */
import { invariant, SecateurError } from '../../shared/errors/secateur-error.ts';
import { type DocumentPlace, readDocument, readDocuments, type TextFile } from './read-documents.ts';

/** 640 MB of index; the C4 shard that the Wanda paper draws from has 356,317 documents. */
const DOCUMENT_COUNT_MAX = 20_000_000;

/** A document's place, its file also by its number in the list of files. */
interface IndexedPlace extends DocumentPlace {
  readonly fileIndex: number;
}

/** Documents by number, 0 .. count - 1, in the order of the files and of the lines in them. */
export interface DocumentSource {
  readonly count: number;
  place(document: number): IndexedPlace;
  read(document: number): Promise<string>;
}

/**
 * Reads every file once and checks every line of it.
 *
 * @throws what readDocuments throws; CalibrationInvalid beyond DOCUMENT_COUNT_MAX documents
 */
export async function indexDocuments(files: readonly TextFile[]): Promise<DocumentSource> {
  // Columns of numbers, because a corpus of millions of objects would not fit.
  const [fileIndexes, lines, offsets, sizes]: [number[], number[], number[], number[]] = [[], [], [], []];
  for await (const { fileIndex, file, line, offset, sizeBytes } of readDocuments(files)) {
    if (lines.length === DOCUMENT_COUNT_MAX) {
      throw new SecateurError(
        'CalibrationInvalid',
        `${file}:${line}: expected at most ${DOCUMENT_COUNT_MAX} documents in all; found more. Give fewer files: a sample of the corpus calibrates as well.`,
        { details: { file, line, documentCountMax: DOCUMENT_COUNT_MAX } },
      );
    }
    fileIndexes.push(fileIndex);
    lines.push(line);
    offsets.push(offset);
    sizes.push(sizeBytes);
  }
  const place = (document: number): IndexedPlace => {
    const [fileIndex, line] = [fileIndexes[document], lines[document]];
    const [offset, sizeBytes] = [offsets[document], sizes[document]];
    invariant(
      fileIndex !== undefined && line !== undefined && offset !== undefined && sizeBytes !== undefined,
      `document ${document} is one of ${lines.length}`,
    );
    return { fileIndex, ...(files[fileIndex] as TextFile), line, offset, sizeBytes };
  };
  return { count: lines.length, place, read: (document) => readDocument(place(document)) };
}
