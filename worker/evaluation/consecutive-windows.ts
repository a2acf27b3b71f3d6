/**
 * Evaluation windows as the Wanda reference cuts them (locuslab/wanda at 8e8fc87, lib/eval.py): the documents of a text
 * joined by an empty line, tokenized once, and cut from the beginning into windows that do not overlap.
 */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { DOCUMENT_SIZE_BYTES_MAX, readDocuments, type TextFile } from '../calibration/read-documents.ts';

const SEPARATOR = '\n\n';

export interface ConsecutiveWindows {
  /** Token ids [windows, sequenceLength]. */
  readonly ids: Int32Array;
  readonly windows: number;
  readonly sequenceLength: number;
}

/**
 * ⌊tokens / sequenceLength⌋ windows of a text, or the first `windowsMax` of them; what is left over is not used.
 *
 * @param windowsMax null: all
 * @param encode token ids of a text, special tokens included
 * @throws CalibrationInvalid: text shorter than one window, or too long to be tokenized at once; what readDocuments throws
 */
export async function consecutiveWindows(
  text: TextFile,
  encode: (text: string) => readonly number[],
  sequenceLength: number,
  windowsMax: number | null,
): Promise<ConsecutiveWindows> {
  const documents: string[] = [];
  let characters = 0;
  for await (const document of readDocuments([text])) {
    documents.push(document.text);
    characters += document.text.length + SEPARATOR.length;
    if (characters > DOCUMENT_SIZE_BYTES_MAX) {
      throw invalid(
        text.file,
        `expected at most ${DOCUMENT_SIZE_BYTES_MAX} characters of evaluation text; found more. Cut the file: each is tokenized in one piece.`,
      );
    }
  }
  const tokens = encode(documents.join(SEPARATOR));
  const all = Math.floor(tokens.length / sequenceLength);
  if (all === 0) {
    throw invalid(
      text.file,
      `expected at least ${sequenceLength} tokens of evaluation text (spec.evaluation.sequenceLength); found ${tokens.length}. Give a longer text or a shorter sequenceLength.`,
    );
  }
  const windows = Math.min(all, windowsMax ?? all);
  return { ids: Int32Array.from(tokens.slice(0, windows * sequenceLength)), windows, sequenceLength };
}

function invalid(file: string, problem: string): SecateurError {
  return new SecateurError('CalibrationInvalid', `${file}: ${problem}`, { details: { file } });
}
