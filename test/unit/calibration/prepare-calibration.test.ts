import { createHash } from 'node:crypto';
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readSafetensorsHeader } from '../../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../../shared/safetensors/read-tensor.ts';
import { prepareCalibration } from '../../../worker/calibration/prepare-calibration.ts';
import { loadTokenizer } from '../../../worker/calibration/tokenizer.ts';
import { temporaryFolder } from './temporary-folder.ts';

const MODEL = join(import.meta.dirname, '../../../examples/micro-llama/model');
const GIVEN = join(import.meta.dirname, '../../golden/fixtures/micro/calibration.safetensors');
const VOCABULARY_SIZE = 512;

/** Sentences that differ, so that no two windows are alike by chance. */
function story(name: string, sentenceCount: number): string {
  return Array.from({ length: sentenceCount }, (_, index) => `${name} walked ${index * 7} miles on day ${index}.`).join(
    ' ',
  );
}

function corpusIn(folder: string): string[] {
  const [text, lines] = [join(folder, 'anna.txt'), join(folder, 'more.jsonl')];
  writeFileSync(text, story('Anna', 30));
  const documents = ['too short', story('Bert', 12), story('Clara', 25), ''];
  writeFileSync(lines, documents.map((document) => `${JSON.stringify({ text: document })}\n`).join(''));
  return [text, lines];
}

async function idsOf(file: string): Promise<Int32Array> {
  const location = (await readSafetensorsHeader(file)).tensors.get('input_ids');
  if (location === undefined) throw new Error('expected input_ids');
  const bytes = await readTensorBytes(location);
  return new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}

const DRAW = { kind: 'text', samples: 6, sequenceLength: 32, seed: 0 } as const;

describe('calibration data from text', () => {
  it('holds windows of the documents, and says which', async () => {
    const folder = temporaryFolder();
    const files = corpusIn(folder);
    const output = join(folder, 'calibration.safetensors');
    const prepared = await prepareCalibration({ ...DRAW, files }, MODEL, VOCABULARY_SIZE, output);
    expect(prepared).toMatchObject({ samples: 6, sequenceLength: 32 });

    const { tensors, metadata } = await readSafetensorsHeader(output);
    expect([...tensors.values()]).toMatchObject([{ name: 'input_ids', dtype: 'I32', shape: [6, 32] }]);
    expect(metadata.format).toBe('pt');
    expect(JSON.parse(metadata.calibration ?? '')).toEqual({
      source: 'text',
      generator: 'xoshiro128**',
      seed: 0,
      documentCount: 5,
      windows: prepared.windows.map((window) => [
        files.indexOf(window.file),
        window.line,
        window.document,
        window.firstToken,
      ]),
    });

    const tokenizer = await loadTokenizer(MODEL, VOCABULARY_SIZE);
    const texts = ['Anna', '', 'Bert', 'Clara'].map((name, index) => story(name, [30, 0, 12, 25][index] ?? 0));
    const ids = await idsOf(output);
    for (const [sample, { document, firstToken, file, line }] of prepared.windows.entries()) {
      expect([file, line]).toEqual(document === 0 ? [files[0], 1] : [files[1], document]);
      const tokens = tokenizer.encode(texts[document] ?? '');
      expect([...ids.subarray(sample * 32, (sample + 1) * 32)]).toEqual(tokens.slice(firstToken, firstToken + 32));
    }
  });

  it('is the same to the byte wherever the files lie, and reports its digest', async () => {
    const [one, other] = [temporaryFolder(), join(temporaryFolder(), 'elsewhere')];
    mkdirSync(other);
    const outputs: Buffer[] = [];
    const fetched = (file: string, index: number) => {
      const path = join(other, `${index}.bin`);
      copyFileSync(file, path);
      return { file, path };
    };
    // The second time as a worker reads them that fetched them: copies under names of its own.
    for (const [folder, files] of [
      [one, corpusIn(one)],
      [other, corpusIn(one).map(fetched)],
    ] as const) {
      const output = join(folder, 'calibration.safetensors');
      const prepared = await prepareCalibration({ ...DRAW, files }, MODEL, VOCABULARY_SIZE, output);
      const content = readFileSync(output);
      expect(prepared.sizeBytes).toBe(content.byteLength);
      expect(prepared.sha256).toBe(createHash('sha256').update(content).digest('hex'));
      outputs.push(content);
    }
    expect(outputs[0]?.equals(outputs[1] as Buffer)).toBe(true);
  });

  it('given back as token ids is the same data', async () => {
    const folder = temporaryFolder();
    const [first, second] = [join(folder, 'first.safetensors'), join(folder, 'second.safetensors')];
    await prepareCalibration({ ...DRAW, files: corpusIn(folder) }, MODEL, VOCABULARY_SIZE, first);
    const tokens = { kind: 'tokens', file: first, samples: null } as const;
    const prepared = await prepareCalibration(tokens, '/no/model', VOCABULARY_SIZE, second);
    expect(prepared).toMatchObject({ samples: 6, sequenceLength: 32, windows: [] });
    expect(await idsOf(second)).toEqual(await idsOf(first));
  });

  it('leaves nothing behind where it fails', async () => {
    const folder = temporaryFolder();
    const output = join(folder, 'out', 'calibration.safetensors');
    mkdirSync(join(folder, 'out'));
    const source = { ...DRAW, sequenceLength: 2000, files: corpusIn(folder) };
    await expect(prepareCalibration(source, MODEL, VOCABULARY_SIZE, output)).rejects.toMatchObject({
      code: 'CalibrationInvalid',
      details: { sequenceLength: 2000, documentCount: 5, file: source.files[0] },
    });
    expect(readdirSync(join(folder, 'out'))).toEqual([]);
  });

  it('looks at the tokenizer before the text', async () => {
    const folder = temporaryFolder();
    const source = { ...DRAW, files: ['/absent.txt'] };
    await expect(prepareCalibration(source, folder, VOCABULARY_SIZE, join(folder, 'out'))).rejects.toMatchObject({
      code: 'CalibrationInvalid',
      details: { file: join(folder, 'tokenizer.json') },
    });
  });
});

describe('calibration data from token ids', () => {
  it('is those ids', async () => {
    const folder = temporaryFolder();
    const file = join(folder, 'given.safetensors');
    copyFileSync(GIVEN, file);
    const output = join(folder, 'calibration.safetensors');
    const prepared = await prepareCalibration(
      { kind: 'tokens', file, samples: 4 },
      '/no/model',
      VOCABULARY_SIZE,
      output,
    );
    expect(prepared).toMatchObject({ samples: 4, sequenceLength: 128, windows: [] });
    expect(await idsOf(output)).toEqual((await idsOf(GIVEN)).subarray(0, 4 * 128));
  });

  it('is not written where an id is outside the vocabulary', async () => {
    const output = join(temporaryFolder(), 'calibration.safetensors');
    const source = { kind: 'tokens', file: GIVEN, samples: null } as const;
    await expect(prepareCalibration(source, '/no/model', 300, output)).rejects.toMatchObject({
      code: 'CalibrationInvalid',
    });
    expect(existsSync(output)).toBe(false);
  });
});
