/** A model's own tokenizer, out of its `tokenizer.json`: text to token ids as `transformers` gives them. */
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';

/** The largest in use (vocabularies of 262,144 tokens) take 35 MB. */
const TOKENIZER_SIZE_BYTES_MAX = 256 * 1024 * 1024;

const INSTEAD = 'Or give token ids in spec.calibration.tokens: then no tokenizer is needed.';

export interface Tokenizer {
  /**
   * Token ids of one document. Whether a begin-of-sequence token stands in front is what the tokenizer's post-processor
   * says; a special token spelled out in the text becomes that token.
   *
   * @throws CalibrationInvalid where an id is outside the model's vocabulary
   */
  encode(text: string): number[];
}

/**
 * @param directory with `tokenizer.json`, and `tokenizer_config.json` where the model has one
 * @param vocabularySize rows of the model's embedding: every id is below it
 * @throws CalibrationInvalid where tokenizer.json is missing, is no JSON, or uses parts that the library does not know
 */
export async function loadTokenizer(directory: string, vocabularySize: number): Promise<Tokenizer> {
  const file = join(directory, 'tokenizer.json');
  const definition = await readJsonObject(file);
  if (definition === undefined) {
    throw invalid(
      file,
      `expected the model's tokenizer; found no such file. Put the tokenizer.json of the model there ("fast" tokenizers save one). ${INSTEAD}`,
    );
  }
  const config = (await readJsonObject(join(directory, 'tokenizer_config.json'))) ?? {};
  const tokenizer = construct(file, definition, config);
  return { encode: (text) => encode(tokenizer, text, file, vocabularySize) };
}

function construct(file: string, definition: object, config: object): HuggingFaceTokenizer {
  try {
    return new HuggingFaceTokenizer(definition, config);
  } catch (cause) {
    throw invalid(
      file,
      `expected a tokenizer that the library @huggingface/tokenizers can build; found: ${(cause as Error).message}. Check that the file is whole. ${INSTEAD}`,
      cause,
    );
  }
}

function encode(tokenizer: HuggingFaceTokenizer, text: string, file: string, vocabularySize: number): number[] {
  let ids: number[];
  let tokens: string[];
  try {
    ({ ids, tokens } = tokenizer.encode(text));
  } catch (cause) {
    throw invalid(
      file,
      `expected token ids for a document; the tokenizer failed: ${(cause as Error).message}. ${INSTEAD}`,
      cause,
    );
  }
  for (const [position, id] of ids.entries()) {
    if (Number.isInteger(id) && id >= 0 && id < vocabularySize) continue;
    const token = JSON.stringify(tokens[position] ?? '');
    throw invalid(
      file,
      `expected token ids from 0 to ${vocabularySize - 1} (the model's vocabulary); found ${id ?? 'none'} for the token ${token}. The tokenizer belongs to another model, or a token was added without growing the embedding. ${INSTEAD}`,
    );
  }
  return ids;
}

async function readJsonObject(file: string): Promise<object | undefined> {
  let content: string;
  try {
    const { size } = await stat(file);
    if (size > TOKENIZER_SIZE_BYTES_MAX) {
      throw invalid(
        file,
        `expected at most ${TOKENIZER_SIZE_BYTES_MAX} bytes; found ${size}. Check that it is a tokenizer. ${INSTEAD}`,
      );
    }
    content = await readFile(file, 'utf8');
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw toSecateurError(thrown);
  }
  let parsed: unknown;
  try {
    parsed = JSON.parse(content);
  } catch (cause) {
    throw invalid(file, `expected JSON; found: ${(cause as Error).message}. Fetch the file again. ${INSTEAD}`, cause);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw invalid(file, `expected a JSON object; found another value. Fetch the file again. ${INSTEAD}`);
  }
  return parsed;
}

function invalid(file: string, problem: string, cause?: unknown): SecateurError {
  return new SecateurError('CalibrationInvalid', `${file}: ${problem}`, {
    details: { file },
    ...(cause === undefined ? {} : { cause }),
  });
}
