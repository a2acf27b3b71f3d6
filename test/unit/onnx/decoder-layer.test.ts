/**
 * The ONNX decoder layer against plain float64 loops, and against itself: the same bytes for every way to run it.
 * Tolerances are relative to the largest value of the output; the largest difference found is printed.
 */
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type ModelDescription, STATISTICS } from '../../../shared/models/family.ts';
import type { AttentionOperator } from '../../../shared/onnx/attention.ts';
import { buildDecoderLayer } from '../../../shared/onnx/decoder-layer.ts';
import { threadsMax } from '../../../shared/onnx/weight-casts.ts';
import type { FloatDtype } from '../../../shared/safetensors/dtype.ts';
import { createLayerSession, type LayerOutputs } from '../../../worker/engine/session.ts';
import {
  float64DecoderLayer,
  type RandomLayer,
  randomNumbers,
  writeRandomLayer,
} from '../../support/float64-decoder-layer.ts';

const SMALL: ModelDescription = {
  architecture: 'LlamaForCausalLM',
  hiddenSize: 64,
  intermediateSize: 88,
  layerCount: 4,
  headCount: 4,
  keyValueHeadCount: 2,
  headDim: 16,
  vocabularySize: 128,
  rmsNormEpsilon: 1e-5,
  rope: { theta: 10_000, scaling: { type: 'none' } },
  slidingWindow: null,
  maxPositionEmbeddings: 64,
  tieWordEmbeddings: false,
  attentionBias: false,
  mlpBias: false,
};
const LLAMA3_SCALING = {
  type: 'llama3',
  factor: 8,
  lowFreqFactor: 1,
  highFreqFactor: 4,
  originalMaxPositionEmbeddings: 64,
} as const;
const CPU = { provider: 'cpu', deviceId: 0, threads: 1, foldCasts: true } as const;
const LAYER = 3;

type LayerSettings = Parameters<typeof createLayerSession>[1];

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'secateur-onnx-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

let files = 0;
function randomLayer(description: ModelDescription, dtypes: readonly FloatDtype[]): Promise<RandomLayer> {
  return writeRandomLayer(join(folder, `layer-${files++}.bin`), description, LAYER, dtypes);
}

interface Variant {
  readonly description?: Partial<ModelDescription>;
  readonly attention?: AttentionOperator;
  readonly dtypes?: readonly FloatDtype[];
  readonly computeDtype?: FloatDtype;
  readonly sequenceLength?: number;
  readonly batch?: number;
  readonly tolerance?: number;
}

/** Largest difference to float64 among hidden states and statistics, relative to the largest value of each. */
async function differenceToFloat64(variant: Variant): Promise<number> {
  const description = { ...SMALL, ...variant.description };
  const { sequenceLength = 13, batch = 3 } = variant;
  const { tensors, weights } = await randomLayer(description, variant.dtypes ?? ['F32']);
  const hidden = randomNumbers(batch * sequenceLength * description.hiddenSize, 99);
  const expected = float64DecoderLayer(description, LAYER, weights, Float64Array.from(hidden), batch);
  const bytes = buildDecoderLayer({
    description,
    layer: LAYER,
    tensors,
    sequenceLength,
    outputs: { statistics: true, hidden: true },
    attention: variant.attention ?? 'groupQueryAttention',
    computeDtype: variant.computeDtype ?? 'F32',
  });
  const found = await runOnce(bytes, CPU, hidden, [batch, sequenceLength, description.hiddenSize]);
  return Math.max(
    largestDifference(found.hidden as Float32Array, expected.hidden),
    ...STATISTICS.map((name) =>
      largestDifference(found.statistics.get(name) as Float32Array, expected.statistics[name]),
    ),
  );
}

async function runOnce(
  bytes: Uint8Array,
  settings: LayerSettings,
  hidden: Float32Array,
  dims: readonly [number, number, number],
): Promise<LayerOutputs> {
  const session = await createLayerSession(bytes, settings);
  try {
    return await session.run(hidden, dims);
  } finally {
    await session.release();
  }
}

function largestDifference(found: Float32Array, expected: Float64Array): number {
  expect(found.length).toBe(expected.length);
  const scale = expected.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  return expected.reduce((largest, x, i) => Math.max(largest, Math.abs(x - (found[i] as number))), 0) / scale;
}

const VARIANTS: Readonly<Record<string, Variant>> = {
  'grouped key and value heads': {},
  'as many key and value heads as heads': { description: { keyValueHeadCount: 4 } },
  'one key and value head': { description: { keyValueHeadCount: 1 } },
  'heads wider together than the hidden size': { description: { headDim: 32 } },
  'biases in the attention': { description: { attentionBias: true } },
  'biases in the MLP': { description: { mlpBias: true } },
  'another rope_theta': { description: { rope: { theta: 500_000, scaling: { type: 'none' } } } },
  'linear rope scaling': { description: { rope: { theta: 10_000, scaling: { type: 'linear', factor: 4 } } } },
  'llama3 rope scaling': { description: { rope: { theta: 10_000, scaling: LLAMA3_SCALING } }, sequenceLength: 40 },
  'a sliding window': { description: { slidingWindow: 5 } },
  'a sliding window of one': { description: { slidingWindow: 1 } },
  'a sliding window as long as the sequence': { description: { slidingWindow: 13 } },
  'a sliding window one shorter than the sequence': { description: { slidingWindow: 12 } },
  'F16 weights': { dtypes: ['F16'] },
  'BF16 weights': { dtypes: ['BF16'] },
  'weights of mixed types': { dtypes: ['BF16', 'F32', 'F16'], description: { attentionBias: true, mlpBias: true } },
  'a batch of one': { batch: 1 },
  'a batch of two': { batch: 2 },
  'a single token': { sequenceLength: 1 },
};

describe.each(['groupQueryAttention', 'attention'] as const)('a decoder layer with %s equals float64', (attention) => {
  it.each(Object.entries(VARIANTS))('with %s', async (name, variant) => {
    const difference = await differenceToFloat64({ ...variant, attention });
    console.log(`${attention}, ${name}: largest relative difference ${difference.toExponential(1)}`);
    expect(difference).toBeLessThan(3e-6);
  });

  it('nearly equals itself in F32 where it computes in F16', async () => {
    const { tensors } = await randomLayer(SMALL, ['F16']);
    const hidden = randomNumbers(3 * 13 * SMALL.hiddenSize, 5);
    const run = (computeDtype: FloatDtype): Promise<LayerOutputs> => {
      const outputs = { statistics: true, hidden: true };
      const common = { description: SMALL, layer: LAYER, tensors, sequenceLength: 13, outputs, attention };
      return runOnce(buildDecoderLayer({ ...common, computeDtype }), CPU, hidden, [3, 13, SMALL.hiddenSize]);
    };
    const [half, single] = [await run('F16'), await run('F32')];
    const pairs = [
      [half.hidden, single.hidden],
      ...STATISTICS.map((name) => [half.statistics.get(name), single.statistics.get(name)]),
    ] as [Float32Array, Float32Array][];
    for (const [found, expected] of pairs)
      expect(largestDifference(found, Float64Array.from(expected))).toBeLessThan(5e-3);
  });

  it('to 16-bit rounding where it computes in F16', async () => {
    const difference = await differenceToFloat64({ attention, dtypes: ['F16'], computeDtype: 'F16' });
    console.log(`${attention}, computed in F16: largest relative difference ${difference.toExponential(1)}`);
    expect(difference).toBeLessThan(5e-3);
  });
});

it('a head size that GroupQueryAttention cannot rotate is computed by the plain operator', async () => {
  const description = { headDim: 24, hiddenSize: 96 };
  expect(await differenceToFloat64({ description, attention: 'attention' })).toBeLessThan(3e-6);
  await expect(differenceToFloat64({ description })).rejects.toMatchObject({ code: 'EngineFailed' });
});

describe.each(['groupQueryAttention', 'attention'] as const)('a sample has the same bytes with %s', (attention) => {
  const description: ModelDescription = { ...SMALL, hiddenSize: 256, intermediateSize: 688, headDim: 32, headCount: 8 };
  const sequenceLength = 48;
  const samples = 4;
  const perSample = sequenceLength * description.hiddenSize;
  const hidden = randomNumbers(samples * perSample, 7);
  let bytes: Uint8Array;
  let reference: readonly Uint8Array[];

  /** Each sample's outputs, one after the other, as bytes. */
  async function bySample(settings: LayerSettings, microbatch: number): Promise<Uint8Array[]> {
    const session = await createLayerSession(bytes, settings);
    const rows: Uint8Array[] = [];
    try {
      for (let first = 0; first < samples; first += microbatch) {
        const input = hidden.subarray(first * perSample, (first + microbatch) * perSample);
        const outputs = await session.run(input, [microbatch, sequenceLength, description.hiddenSize]);
        const all = [outputs.hidden as Float32Array, ...STATISTICS.map((name) => outputs.statistics.get(name))];
        for (let sample = 0; sample < microbatch; sample++)
          rows.push(sampleBytes(all as Float32Array[], sample, microbatch));
      }
    } finally {
      await session.release();
    }
    return rows;
  }

  beforeAll(async () => {
    const { tensors } = await randomLayer(description, ['BF16']);
    bytes = buildDecoderLayer({
      description,
      layer: LAYER,
      tensors,
      sequenceLength,
      outputs: { statistics: true, hidden: true },
      attention,
      computeDtype: 'F32',
    });
    reference = await bySample(CPU, 1);
  });

  it.each([
    ['in microbatches of two', CPU, 2],
    ['in one microbatch of four', CPU, 4],
    ['with two threads', { ...CPU, threads: 2 }, 1],
    ['with two threads in one microbatch', { ...CPU, threads: 2 }, 4],
    // Unpacked weights fail wherever a thread is left fewer than 65 columns of a linear.
    ['with three threads', { ...CPU, threads: 3 }, 1],
    ['with sixteen threads in microbatches of two', { ...CPU, threads: 16 }, 2],
  ] as const)('%s', async (_, settings, microbatch) => {
    const found = await bySample(settings, microbatch);
    expect(found.map(digest)).toEqual(reference.map(digest));
  });
});

/** Just wide enough for casts in every run: 1024 columns, of which eight threads are given 128 each. */
const WIDE: ModelDescription = {
  ...SMALL,
  hiddenSize: 1024,
  headCount: 16,
  keyValueHeadCount: 16,
  headDim: 64,
  intermediateSize: 1408,
};

describe.each(['BF16', 'F16', 'F32'] as const)('casts of %s in every run', (dtype) => {
  it('give the same bytes for any number of threads up to the most that are allowed, and any microbatch', async () => {
    const [samples, sequenceLength] = [4, 3];
    const { tensors } = await randomLayer(WIDE, [dtype]);
    const bytes = buildDecoderLayer({
      description: WIDE,
      layer: LAYER,
      tensors,
      sequenceLength,
      outputs: { statistics: true, hidden: true },
      attention: 'groupQueryAttention',
      computeDtype: 'F32',
    });
    const length = sequenceLength * WIDE.hiddenSize;
    const hidden = randomNumbers(samples * length, 8);
    const found = new Set<string>();
    for (const threads of [1, 2, 3, threadsMax(WIDE)]) {
      const session = await createLayerSession(bytes, { ...CPU, threads, foldCasts: false });
      for (const microbatch of [1, 2, 4]) {
        const rows: Uint8Array[] = [];
        for (let first = 0; first < samples; first += microbatch) {
          const input = hidden.subarray(first * length, (first + microbatch) * length);
          const outputs = await session.run(input, [microbatch, sequenceLength, WIDE.hiddenSize]);
          const all = [outputs.hidden, ...STATISTICS.map((name) => outputs.statistics.get(name))] as Float32Array[];
          for (let sample = 0; sample < microbatch; sample++) rows.push(sampleBytes(all, sample, microbatch));
        }
        found.add(digest(Buffer.concat(rows)));
      }
      await session.release();
    }
    expect(found.size).toBe(1);
  });
});

function digest(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

function sampleBytes(outputs: readonly Float32Array[], sample: number, batch: number): Uint8Array {
  return Buffer.concat(
    outputs.map((values) => {
      const width = values.length / batch;
      const row = values.slice(sample * width, (sample + 1) * width);
      return new Uint8Array(row.buffer);
    }),
  );
}

describe('a model built for one purpose', () => {
  it('gives the same statistics without the next hidden states, and never reads down_proj', async () => {
    const { tensors } = await randomLayer(SMALL, ['BF16']);
    const hidden = randomNumbers(2 * 13 * SMALL.hiddenSize, 5);
    const common = { description: SMALL, layer: LAYER, sequenceLength: 13, computeDtype: 'F32' } as const;
    const attention = 'groupQueryAttention';
    const both = buildDecoderLayer({ ...common, tensors, attention, outputs: { statistics: true, hidden: true } });
    const withoutDown = new Map([...tensors].filter(([name]) => !name.includes('down_proj')));
    const outputs = { statistics: true, hidden: false };
    const statistics = buildDecoderLayer({ ...common, tensors: withoutDown, attention, outputs });
    const dims = [2, 13, SMALL.hiddenSize] as const;
    const expected = await runOnce(both, CPU, hidden, dims);
    const found = await runOnce(statistics, CPU, hidden, dims);
    expect(found.hidden).toBeNull();
    expect(found.statistics).toEqual(expected.statistics);
    expect([...found.statistics.keys()]).toEqual([...STATISTICS]);
  });

  it('gives the same next hidden states without statistics', async () => {
    const { tensors } = await randomLayer(SMALL, ['F16']);
    const hidden = randomNumbers(13 * SMALL.hiddenSize, 6);
    const common = { description: SMALL, layer: LAYER, tensors, sequenceLength: 13, computeDtype: 'F32' } as const;
    const attention = 'groupQueryAttention';
    const both = buildDecoderLayer({ ...common, attention, outputs: { statistics: true, hidden: true } });
    const alone = buildDecoderLayer({ ...common, attention, outputs: { statistics: false, hidden: true } });
    const dims = [1, 13, SMALL.hiddenSize] as const;
    const expected = await runOnce(both, CPU, hidden, dims);
    const found = await runOnce(alone, CPU, hidden, dims);
    expect(found.hidden).toEqual(expected.hidden);
    expect(found.statistics.size).toBe(0);
  });

  it('gives the inputs that statistics are of, of each sample the same bytes whichever others are in the run', async () => {
    const { tensors } = await randomLayer(SMALL, ['BF16']);
    const length = 13 * SMALL.hiddenSize;
    const hidden = randomNumbers(2 * length, 7);
    const common = { description: SMALL, layer: LAYER, tensors, sequenceLength: 13, computeDtype: 'F32' } as const;
    const attention = 'groupQueryAttention';
    const outputs = { statistics: false, hidden: true, inputs: STATISTICS.slice(1) };
    const model = buildDecoderLayer({ ...common, attention, outputs });
    const measured = buildDecoderLayer({ ...common, attention, outputs: { statistics: true, hidden: true } });
    const both = await runOnce(model, CPU, hidden, [2, 13, SMALL.hiddenSize]);
    const expected = await runOnce(measured, CPU, hidden, [2, 13, SMALL.hiddenSize]);
    expect(both.hidden).toEqual(expected.hidden);
    expect([...both.inputs.keys()]).toEqual(STATISTICS.slice(1));
    for (const sample of [0, 1]) {
      const states = hidden.slice(sample * length, (sample + 1) * length);
      const alone = await runOnce(model, { ...CPU, threads: 2 }, states, [1, 13, SMALL.hiddenSize]);
      for (const [name, input] of both.inputs) {
        const width = input.length / 26;
        const ofSample = input.slice(sample * 13 * width, (sample + 1) * 13 * width);
        expect(alone.inputs.get(name)).toEqual(ofSample);
        const sums = Float64Array.from({ length: width }, (_, column) =>
          Array.from({ length: 13 }, (_, token) => ofSample[token * width + column] as number).reduce(
            (sum, x) => sum + x * x,
            0,
          ),
        );
        const statistic = (expected.statistics.get(name) as Float32Array).slice(sample * width, (sample + 1) * width);
        expect(largestDifference(statistic, sums)).toBeLessThan(1e-5);
      }
    }
  });
});
