/** The language head in 16 bits and in float32, on the CPU, which computes F16 behind casts that the runtime puts in. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { onnx } from 'onnx-proto';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import type { ModelDescription } from '../../../shared/models/family.ts';
import { buildLanguageHead } from '../../../shared/onnx/language-head.ts';
import type { FloatDtype } from '../../../shared/safetensors/dtype.ts';
import { createHeadSession } from '../../../worker/engine/session.ts';
import { randomNumbers } from '../../support/float64-decoder-layer.ts';

const HIDDEN = 64;
const VOCABULARY = 96;
const TOKENS = 11;
const MODEL = {
  hiddenSize: HIDDEN,
  vocabularySize: VOCABULARY,
  rmsNormEpsilon: 1e-5,
  tieWordEmbeddings: false,
} as ModelDescription;

let folder: string;
let tensors: Map<string, TensorLocation>;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'secateur-head-'));
  const file = join(folder, 'head.bin');
  const weights = Float16Array.from(randomNumbers(HIDDEN * (VOCABULARY + 1), 3));
  await writeFile(file, new Uint8Array(weights.buffer));
  const rows = (name: string, shape: number[], offset: number): TensorLocation => {
    const sizeBytes = shape.reduce((product, dim) => product * dim, 2);
    return { name, dtype: 'F16', shape, file, offset, sizeBytes };
  };
  const norm = rows('model.norm.weight', [HIDDEN], 0);
  const head = rows('lm_head.weight', [VOCABULARY, HIDDEN], norm.sizeBytes);
  tensors = new Map([norm, head].map((each) => [each.name, each]));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

async function likelihoods(computeDtype: FloatDtype): Promise<Float32Array> {
  const bytes = buildLanguageHead(MODEL, tensors, computeDtype);
  const session = await createHeadSession(bytes, { provider: 'cpu', deviceId: 0, threads: 1 });
  try {
    const targets = Int32Array.from({ length: TOKENS }, (_, index) => (index * 29) % VOCABULARY);
    return await session.run(randomNumbers(TOKENS * HIDDEN, 17), targets);
  } finally {
    await session.release();
  }
}

it('in F16 the likelihoods are those of float32, but for rounding', async () => {
  const [half, single] = [await likelihoods('F16'), await likelihoods('F32')];
  expect(single).toHaveLength(TOKENS);
  for (const [index, expected] of single.entries())
    expect(Math.abs((half[index] as number) - expected)).toBeLessThan(5e-3 * Math.max(1, expected));
});

it('in 16 bits weights are multiplied as they are, and the softmax is float32', () => {
  const { graph } = onnx.ModelProto.decode(buildLanguageHead(MODEL, tensors, 'F16'));
  const nodes = graph?.node ?? [];
  expect(nodes.find(({ opType }) => opType === 'Gemm')?.input?.[1]).toBe('lm_head.weight');
  const softmax = nodes.find(({ opType }) => opType === 'LogSoftmax');
  const cast = nodes.find(({ output }) => output?.[0] === softmax?.input?.[0]);
  expect([cast?.opType, Number(cast?.attribute?.[0]?.i)]).toEqual(['Cast', onnx.TensorProto.DataType.FLOAT]);
});
