import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { loadTokenizer } from '../../../worker/calibration/tokenizer.ts';
import { temporaryFolder } from './temporary-folder.ts';

const MICRO_LLAMA = join(import.meta.dirname, '../../../examples/micro-llama/model');
const DEFINITION = readFileSync(join(MICRO_LLAMA, 'tokenizer.json'), 'utf8');

function modelWith(files: Readonly<Record<string, string>>): string {
  const folder = temporaryFolder();
  for (const [name, content] of Object.entries(files)) writeFileSync(join(folder, name), content);
  return folder;
}

describe("a model's tokenizer", () => {
  it('needs no tokenizer_config.json', async () => {
    const folder = modelWith({ 'tokenizer.json': DEFINITION });
    expect((await loadTokenizer(folder, 512)).encode('Hello world')).toEqual([0, 74, 489, 113, 490, 319]);
  });

  it('puts a begin-of-sequence token in front only where its post-processor does', async () => {
    const folder = modelWith({ 'tokenizer.json': JSON.stringify({ ...JSON.parse(DEFINITION), post_processor: null }) });
    expect((await loadTokenizer(folder, 512)).encode('Hello world')).toEqual([74, 489, 113, 490, 319]);
  });

  it('takes a special token that is spelled out as that token', async () => {
    const tokenizer = await loadTokenizer(MICRO_LLAMA, 512);
    expect(tokenizer.encode('</s>')).toEqual([0, 1]);
  });

  it('refuses ids beyond the embedding, naming the token', async () => {
    const tokenizer = await loadTokenizer(MICRO_LLAMA, 400);
    expect(tokenizer.encode(' ')).toEqual([0, 34]);
    expect(() => tokenizer.encode('Hello world')).toThrow(/from 0 to 399 .* found 489 for the token "/);
    expect(() => tokenizer.encode('Hello world')).toThrow(expect.objectContaining({ code: 'CalibrationInvalid' }));
  });

  it.each<[string, Record<string, string>, string, RegExp]>([
    ['is missing', {}, 'tokenizer.json', /found no such file/],
    ['is only a SentencePiece model', { 'tokenizer.model': 'x' }, 'tokenizer.json', /found no such file/],
    ['is no JSON', { 'tokenizer.json': DEFINITION.slice(0, 500) }, 'tokenizer.json', /expected JSON/],
    ['is a list', { 'tokenizer.json': '[]' }, 'tokenizer.json', /expected a JSON object/],
    ['is empty', { 'tokenizer.json': '{}' }, 'tokenizer.json', /can build; found: .*model/],
    [
      'has no added tokens',
      { 'tokenizer.json': JSON.stringify({ ...JSON.parse(DEFINITION), added_tokens: undefined }) },
      'tokenizer.json',
      /can build/,
    ],
    [
      'uses a part from the future',
      { 'tokenizer.json': JSON.stringify({ ...JSON.parse(DEFINITION), pre_tokenizer: { type: 'Telepathy' } }) },
      'tokenizer.json',
      /Telepathy/,
    ],
    [
      'has a broken configuration',
      { 'tokenizer.json': DEFINITION, 'tokenizer_config.json': '{' },
      'tokenizer_config.json',
      /expected JSON/,
    ],
  ])('that %s is refused, saying to give token ids instead', async (_, files, file, problem) => {
    const folder = modelWith(files);
    const failure = await loadTokenizer(folder, 512).catch((thrown: unknown) => thrown);
    expect(failure).toMatchObject({ code: 'CalibrationInvalid', details: { file: join(folder, file) } });
    expect((failure as Error).message).toMatch(problem);
    expect((failure as Error).message).toContain('spec.calibration.tokens');
  });
});
