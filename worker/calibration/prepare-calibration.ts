/** Calibration data of a job: one safetensors file with `input_ids` I32 [samples, sequenceLength]. */
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { indexDocuments } from './index-documents.ts';
import { type LoadedTokens, loadTokens } from './load-tokens.ts';
import { seededRandom } from './random.ts';
import type { TextFile } from './read-documents.ts';
import { type CalibrationWindow, selectWindows } from './select-windows.ts';
import { idsTensor } from './stored-ids.ts';
import { loadTokenizer } from './tokenizer.ts';

interface TextSource {
  readonly kind: 'text';
  /** Files by their own name, or under another one (see TextFile). */
  readonly files: readonly (string | TextFile)[];
  readonly samples: number;
  readonly sequenceLength: number;
  readonly seed: number;
}

interface TokensSource {
  readonly kind: 'tokens';
  readonly file: string;
  /** The first rows of the file; null: all of them. */
  readonly samples: number | null;
}

/** Ids drawn evenly from the vocabulary: for a model without a tokenizer. */
interface SyntheticSource {
  readonly kind: 'synthetic';
  readonly samples: number;
  readonly sequenceLength: number;
  readonly seed: number;
}

export type CalibrationSource = TextSource | TokensSource | SyntheticSource;

export interface PreparedCalibration {
  readonly samples: number;
  readonly sequenceLength: number;
  readonly sha256: string;
  readonly sizeBytes: number;
  /** Where each sequence comes from; none for token ids that were given. */
  readonly windows: readonly CalibrationWindow[];
}

interface Calibration extends LoadedTokens {
  readonly windows: readonly CalibrationWindow[];
  readonly provenance: Readonly<Record<string, unknown>>;
}

/**
 * Writes the calibration data to `outputFile`, whole or not at all. Its bytes depend on the text (or ids), the
 * tokenizer and the settings, never on where the files lie: the provenance in its metadata counts files by number.
 *
 * @param modelDirectory with the model's tokenizer; looked at for text only
 * @throws CalibrationInvalid, SafetensorsInvalid, SourceMissing, SourceChanged, StorageFailed, StorageFull
 */
export async function prepareCalibration(
  source: CalibrationSource,
  modelDirectory: string,
  vocabularySize: number,
  outputFile: string,
): Promise<PreparedCalibration> {
  const calibration = await calibrationOf(source, modelDirectory, vocabularySize);
  const { ids, samples, sequenceLength, windows, provenance } = calibration;
  const metadata = { format: 'pt', calibration: JSON.stringify(provenance) };
  await writeSafetensorsFile(outputFile, [idsTensor(ids, samples, sequenceLength)], metadata);
  const { sha256, sizeBytes } = await digestFile(outputFile);
  return { samples, sequenceLength, sha256, sizeBytes, windows };
}

async function calibrationOf(
  source: CalibrationSource,
  modelDirectory: string,
  vocabularySize: number,
): Promise<Calibration> {
  switch (source.kind) {
    case 'text':
      return fromText(source, modelDirectory, vocabularySize);
    case 'tokens':
      return fromTokens(source, vocabularySize);
    case 'synthetic':
      return drawn(source, vocabularySize);
  }
}

async function fromText(source: TextSource, modelDirectory: string, vocabularySize: number): Promise<Calibration> {
  const { files, samples, sequenceLength, seed } = source;
  // The tokenizer first: what is wrong with it shows before gigabytes of text are read.
  const tokenizer = await loadTokenizer(modelDirectory, vocabularySize);
  const documents = await indexDocuments(files.map((file) => (typeof file === 'string' ? { file, path: file } : file)));
  const { ids, windows } = await selectWindows(documents, tokenizer.encode, { samples, sequenceLength, seed });
  const provenance = {
    source: 'text',
    generator: 'xoshiro128**',
    seed,
    documentCount: documents.count,
    windows: windows.map((window) => [
      documents.place(window.document).fileIndex,
      window.line,
      window.document,
      window.firstToken,
    ]),
  };
  return { ids, samples, sequenceLength, windows, provenance };
}

async function fromTokens(source: TokensSource, vocabularySize: number): Promise<Calibration> {
  const loaded = await loadTokens(source.file, source.samples, vocabularySize);
  return { ...loaded, windows: [], provenance: { source: 'tokens' } };
}

/** Row after row, so that the first rows of more are the same. */
function drawn({ samples, sequenceLength, seed }: SyntheticSource, vocabularySize: number): Calibration {
  const random = seededRandom(seed);
  const ids = Int32Array.from({ length: samples * sequenceLength }, () => random.below(vocabularySize));
  const provenance = { source: 'synthetic', generator: 'xoshiro128**', seed };
  return { ids, samples, sequenceLength, windows: [], provenance };
}
