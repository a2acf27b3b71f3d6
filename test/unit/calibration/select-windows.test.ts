import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { DocumentSource } from '../../../worker/calibration/index-documents.ts';
import { CALIBRATION_TOKEN_COUNT_MAX, selectWindows } from '../../../worker/calibration/select-windows.ts';

/** A tokenizer of numbers: the document "5 900" is the tokens 900, 901 … 904. */
function encode(text: string): number[] {
  const [length = 0, base = 0] = text.split(' ').map(Number);
  return Array.from({ length }, (_, index) => base + index);
}

interface Corpus extends DocumentSource {
  /** How often each document was read. */
  readonly reads: number[];
}

/** Documents of so many tokens; document d holds the tokens d * 1e6, d * 1e6 + 1 … */
function corpus(...lengths: number[]): Corpus {
  const reads = lengths.map(() => 0);
  return {
    reads,
    count: lengths.length,
    place: (document) => ({ fileIndex: 0, file: '/c.jsonl', path: '/c', line: document + 1, offset: 0, sizeBytes: 0 }),
    read: async (document) => {
      reads[document] = (reads[document] ?? 0) + 1;
      return `${lengths[document]} ${document * 1_000_000}`;
    },
  };
}

const someLengths = fc.array(fc.integer({ min: 0, max: 40 }), { minLength: 1, maxLength: 20 });
const someDraw = fc.record({
  samples: fc.integer({ min: 1, max: 20 }),
  sequenceLength: fc.integer({ min: 1, max: 30 }),
  seed: fc.nat(),
});

describe('calibration windows', () => {
  it('lie inside a document longer than they are, and hold its tokens', async () => {
    await fc.assert(
      fc.asyncProperty(someLengths, someDraw, async (lengths, draw) => {
        const { samples, sequenceLength } = draw;
        fc.pre(lengths.some((length) => length > sequenceLength));
        const { ids, windows } = await selectWindows(corpus(...lengths), encode, draw);
        expect(windows).toHaveLength(samples);
        expect(ids).toHaveLength(samples * sequenceLength);
        for (const [sample, { document, firstToken, line }] of windows.entries()) {
          const length = lengths[document] as number;
          expect(length).toBeGreaterThan(sequenceLength);
          expect(firstToken).toBeGreaterThanOrEqual(0);
          expect(firstToken + sequenceLength).toBeLessThan(length + 1);
          expect(line).toBe(document + 1);
          const expected = encode(`${length} ${document * 1_000_000}`).slice(firstToken, firstToken + sequenceLength);
          expect([...ids.subarray(sample * sequenceLength, (sample + 1) * sequenceLength)]).toEqual(expected);
        }
      }),
    );
  });

  it('are the same for the same seed, and others for another', async () => {
    const draw = { samples: 16, sequenceLength: 8, seed: 5 };
    const documents = () => corpus(...Array.from({ length: 50 }, (_, index) => index * 3));
    const once = await selectWindows(documents(), encode, draw);
    expect(await selectWindows(documents(), encode, draw)).toEqual(once);
    expect((await selectWindows(documents(), encode, { ...draw, seed: 6 })).ids).not.toEqual(once.ids);
  });

  it('begin with those of a smaller draw', async () => {
    const documents = () => corpus(3, 90, 40, 8, 70);
    const few = await selectWindows(documents(), encode, { samples: 3, sequenceLength: 8, seed: 1 });
    const many = await selectWindows(documents(), encode, { samples: 9, sequenceLength: 8, seed: 1 });
    expect(many.windows.slice(0, 3)).toEqual(few.windows);
    expect(many.ids.subarray(0, 24)).toEqual(few.ids);
  });

  // From an independent implementation. Changing this changes what every seed means: a new major version, and a line in the changelog.
  it('are these for seed 0', async () => {
    const { windows } = await selectWindows(corpus(100, 5, 1000, 20, 64), encode, {
      samples: 6,
      sequenceLength: 16,
      seed: 0,
    });
    expect(windows.map(({ document, firstToken }) => [document, firstToken])).toEqual([
      [0, 61],
      [4, 21],
      [2, 822],
      [4, 36],
      [0, 81],
      [3, 0],
    ]);
  });

  it('reach every document that is long enough, equally, and every place but the last', async () => {
    const lengths = [11, 3, 14, 10, 12, 0];
    const { windows } = await selectWindows(corpus(...lengths), encode, { samples: 6000, sequenceLength: 10, seed: 2 });
    const perDocument = Map.groupBy(windows, (window) => window.document);
    expect([...perDocument.keys()].sort()).toEqual([0, 2, 4]);
    for (const [document, drawn] of perDocument) {
      // Five standard deviations of a binomial (6000, 1/3).
      expect(Math.abs(drawn.length - 2000)).toBeLessThan(5 * Math.sqrt(6000 * (1 / 3) * (2 / 3)));
      // As in the reference, a document of n tokens has n - sequenceLength places: its last token is never drawn.
      const places = new Set(drawn.map((window) => window.firstToken));
      expect([...places].sort()).toEqual(
        Array.from({ length: (lengths[document] as number) - 10 }, (_, place) => place),
      );
    }
  });

  it('tokenize only documents that were drawn, and none more than twice', async () => {
    const documents = corpus(...Array.from({ length: 100_000 }, (_, index) => (index % 10 === 0 ? 50 : 4)));
    await selectWindows(documents, encode, { samples: 128, sequenceLength: 16, seed: 0 });
    expect(Math.max(...documents.reads)).toBeLessThanOrEqual(2);
    // One in ten is long enough: about 1280 are looked at.
    expect(documents.reads.filter((count) => count > 0).length).toBeLessThan(2500);
  });

  it('come from one document that is read twice, however many they are', async () => {
    const documents = corpus(5000);
    await selectWindows(documents, encode, { samples: 500, sequenceLength: 16, seed: 0 });
    expect(documents.reads).toEqual([2]);
  });
});

describe('a corpus without a document that is long enough', () => {
  it('ends in an error that names the longest, after one look at each', async () => {
    const documents = corpus(4, 7, 16, 0, 16);
    await expect(selectWindows(documents, encode, { samples: 2, sequenceLength: 16, seed: 0 })).rejects.toMatchObject({
      code: 'CalibrationInvalid',
      message:
        'spec.calibration: expected at least one document longer than sequenceLength 16 tokens; found 5 documents, the longest of them 16 tokens (/c.jsonl:3). Lower sequenceLength, or give longer documents.',
      details: { sequenceLength: 16, documentCount: 5, longestTokenCount: 16, file: '/c.jsonl', line: 3 },
    });
    expect(documents.reads).toEqual([1, 1, 1, 1, 1]);
  });

  it('is told from one with a single window', async () => {
    const draw = { samples: 3, sequenceLength: 16, seed: 0 };
    const { windows } = await selectWindows(corpus(2, 17, 2), encode, draw);
    expect(windows.map(({ document, firstToken }) => [document, firstToken])).toEqual([
      [1, 0],
      [1, 0],
      [1, 0],
    ]);
  });

  it('may hold no document at all', async () => {
    await expect(selectWindows(corpus(), encode, { samples: 1, sequenceLength: 1, seed: 0 })).rejects.toMatchObject({
      code: 'CalibrationInvalid',
      details: { documentCount: 0 },
    });
  });
});

describe('a draw of windows', () => {
  it.each([
    [0, 16],
    [1, 0],
    [1.5, 16],
    [Number.NaN, 16],
    [CALIBRATION_TOKEN_COUNT_MAX / 16 + 1, 16],
  ])('of %d samples of %d tokens is refused before anything is read', async (samples, sequenceLength) => {
    const documents = corpus(100);
    await expect(selectWindows(documents, encode, { samples, sequenceLength, seed: 0 })).rejects.toMatchObject({
      code: 'CalibrationInvalid',
    });
    expect(documents.reads).toEqual([0]);
  });

  it('notices a document that changed between its two looks', async () => {
    const documents = corpus(5000);
    const read = async (document: number) => (documents.reads[document] === 0 ? documents.read(document) : '4999 0');
    await expect(
      selectWindows({ ...documents, read }, encode, { samples: 5, sequenceLength: 16, seed: 0 }),
    ).rejects.toMatchObject({ code: 'SourceChanged', details: { file: '/c.jsonl', line: 1 } });
  });
});
