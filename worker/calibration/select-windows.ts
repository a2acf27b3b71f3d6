/**
 * Draws calibration windows as the Wanda reference does (locuslab/wanda at 8e8fc87, lib/data.py): a random document,
 * drawn again until it is longer than the sequence, then a random window of it.
 *
 * 1. The result is a function of the documents, the tokenizer (`encode`), samples, sequenceLength and seed.
 * 2. Every draw either gives a window or strikes a document that is too short: it always ends.
 * 3. A document is tokenized at most twice, however often it is drawn, and one document's tokens are held at a time.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import type { DocumentSource } from './index-documents.ts';
import { seededRandom } from './random.ts';

/** 512 MiB of ids, 512 times what the Wanda paper uses. */
export const CALIBRATION_TOKEN_COUNT_MAX = 2 ** 27;

export interface WindowDraw {
  readonly samples: number;
  readonly sequenceLength: number;
  readonly seed: number;
}

/** Where a sequence comes from. */
export interface CalibrationWindow {
  readonly file: string;
  /** Counted from 1. */
  readonly line: number;
  /** Number of the document among all documents of all files, from 0. */
  readonly document: number;
  /** The window's first token, counted from 0 in the document's token ids. */
  readonly firstToken: number;
}

export interface SelectedWindows {
  /** Token ids [samples, sequenceLength]. */
  readonly ids: Int32Array;
  readonly windows: readonly CalibrationWindow[];
}

/**
 * @param encode the token ids of a document, special tokens included
 * @throws CalibrationInvalid where no document is longer than `sequenceLength` tokens, or the draw is too large
 */
export async function selectWindows(
  documents: DocumentSource,
  encode: (text: string) => ArrayLike<number>,
  draw: WindowDraw,
): Promise<SelectedWindows> {
  const { samples, sequenceLength, seed } = draw;
  checkDraw(draw);
  const random = seededRandom(seed);
  const lengths = new Map<number, number>();
  const ids = new Int32Array(samples * sequenceLength);
  const windows: CalibrationWindow[] = [];
  const later = new Map<number, number[]>();
  // The documents not yet known to be too short stand in candidates[0 .. candidateCount - 1].
  const candidates = Uint32Array.from({ length: documents.count }, (_, document) => document);
  let candidateCount = candidates.length;

  while (windows.length < samples) {
    if (candidateCount === 0) throw tooShort(documents, lengths, sequenceLength);
    const drawn = random.below(candidateCount);
    const document = candidates[drawn] as number;
    const known = lengths.get(document);
    const tokens = known === undefined ? encode(await documents.read(document)) : null;
    const length = known ?? (tokens as ArrayLike<number>).length;
    lengths.set(document, length);
    if (length <= sequenceLength) {
      candidateCount--;
      candidates[drawn] = candidates[candidateCount] as number;
      continue;
    }
    const firstToken = random.below(length - sequenceLength);
    const { file, line } = documents.place(document);
    const sample = windows.push({ file, line, document, firstToken }) - 1;
    if (tokens === null) later.set(document, [...(later.get(document) ?? []), sample]);
    else copyWindow(tokens, firstToken, ids, sample, sequenceLength);
  }

  // Further windows of a document drawn before: once through its tokens again for all of them.
  for (const [document, again] of later) {
    const tokens = encode(await documents.read(document));
    checkUnchanged(documents, document, lengths.get(document), tokens.length);
    for (const sample of again) {
      copyWindow(tokens, (windows[sample] as CalibrationWindow).firstToken, ids, sample, sequenceLength);
    }
  }
  return { ids, windows };
}

function copyWindow(
  tokens: ArrayLike<number>,
  firstToken: number,
  ids: Int32Array,
  sample: number,
  sequenceLength: number,
): void {
  const begin = sample * sequenceLength;
  for (let position = 0; position < sequenceLength; position++) {
    ids[begin + position] = tokens[firstToken + position] as number;
  }
}

function checkDraw({ samples, sequenceLength }: WindowDraw): void {
  const positive = Number.isInteger(samples) && samples >= 1 && Number.isInteger(sequenceLength) && sequenceLength >= 1;
  if (positive && samples * sequenceLength <= CALIBRATION_TOKEN_COUNT_MAX) return;
  throw new SecateurError(
    'CalibrationInvalid',
    `spec.calibration: expected samples and sequenceLength of at least 1 whose product is at most ${CALIBRATION_TOKEN_COUNT_MAX}; found ${samples} and ${sequenceLength}. Ask for fewer or shorter sequences: 128 of 2048 tokens are usual.`,
    { details: { samples, sequenceLength, tokenCountMax: CALIBRATION_TOKEN_COUNT_MAX } },
  );
}

function checkUnchanged(
  documents: DocumentSource,
  document: number,
  expected: number | undefined,
  found: number,
): void {
  if (found === expected) return;
  const { file, line } = documents.place(document);
  throw new SecateurError(
    'SourceChanged',
    `${file}:${line}: expected ${expected} tokens as at the first look; found ${found}. The file was changed while it was read: submit the job again.`,
    { details: { file, line, found } },
  );
}

function tooShort(
  documents: DocumentSource,
  lengths: ReadonlyMap<number, number>,
  sequenceLength: number,
): SecateurError {
  let [longest, longestTokens] = [-1, -1];
  for (const [document, length] of lengths) {
    // Of equally long ones the first: the message does not depend on the order of the draw.
    if (length > longestTokens || (length === longestTokens && document < longest))
      [longest, longestTokens] = [document, length];
  }
  const where = longest < 0 ? 'no document at all' : describePlace(documents, longest, longestTokens);
  return new SecateurError(
    'CalibrationInvalid',
    `spec.calibration: expected at least one document longer than sequenceLength ${sequenceLength} tokens; found ${documents.count} documents, ${where}. Lower sequenceLength, or give longer documents.`,
    {
      details: {
        sequenceLength,
        documentCount: documents.count,
        longestTokenCount: Math.max(longestTokens, 0),
        ...(longest < 0 ? {} : { file: documents.place(longest).file, line: documents.place(longest).line }),
      },
    },
  );
}

function describePlace(documents: DocumentSource, document: number, tokenCount: number): string {
  const { file, line } = documents.place(document);
  return `the longest of them ${tokenCount} tokens (${file}:${line})`;
}
