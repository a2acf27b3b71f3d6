/**
 * The forward pass and its statistics against the reference: Hugging Face's LLaMA in torch, float32, on micro-llama
 * (test/golden/fixtures/README.md). Prints the largest differences; they are the figures of the documentation.
 */
import { realpathSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import type { TensorLocation } from '../../shared/checkpoint/tensor-location.ts';
import { checkTensors, layerTensors, type ModelDescription, STATISTICS } from '../../shared/models/family.ts';
import { describeModel } from '../../shared/models/registry.ts';
import { buildDecoderLayer, chooseAttention } from '../../shared/onnx/decoder-layer.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { createLayerSession, type LayerOutputs } from '../../worker/engine/session.ts';

const MODEL_DIRECTORY = fileURLToPath(new URL('../../examples/micro-llama/model/', import.meta.url));
const FIXTURES = fileURLToPath(new URL('fixtures/micro/', import.meta.url));

let description: ModelDescription;
let tensors: ReadonlyMap<string, TensorLocation>;
let embedding: Float32Array;

beforeAll(async () => {
  description = describeModel(JSON.parse(await readFile(`${MODEL_DIRECTORY}config.json`, 'utf8')));
  tensors = (await readSafetensorsHeader(realpathSync(`${MODEL_DIRECTORY}model.safetensors`))).tensors;
  embedding = Float32Array.from(
    new Float16Array((await bytesOf(tensors, 'model.embed_tokens.weight')).buffer as ArrayBuffer),
  );
});

async function bytesOf(found: ReadonlyMap<string, TensorLocation>, name: string): Promise<Uint8Array> {
  const location = found.get(name);
  if (location === undefined) throw new Error(`no tensor ${name}`);
  return (await readTensorBytes(location)).slice();
}

async function fixture(file: string): Promise<(name: string) => Promise<Float32Array>> {
  const found = (await readSafetensorsHeader(realpathSync(FIXTURES + file))).tensors;
  return async (name) => new Float32Array((await bytesOf(found, name)).buffer as ArrayBuffer);
}

async function tokenIds(file: string, name: string): Promise<Int32Array> {
  const found = (await readSafetensorsHeader(realpathSync(FIXTURES + file))).tensors;
  const bytes = await bytesOf(found, name);
  return found.get(name)?.dtype === 'I64'
    ? Int32Array.from(new BigInt64Array(bytes.buffer as ArrayBuffer), Number)
    : new Int32Array(bytes.buffer as ArrayBuffer);
}

/** Token ids [T] → rows of the embedding [T, H] */
function embed(ids: Int32Array): Float32Array {
  const { hiddenSize } = description;
  const hidden = new Float32Array(ids.length * hiddenSize);
  for (const [token, id] of ids.entries()) {
    hidden.set(embedding.subarray(id * hiddenSize, (id + 1) * hiddenSize), token * hiddenSize);
  }
  return hidden;
}

/** Every layer in turn, dense. */
async function forward(hidden: Float32Array, sequenceLength: number): Promise<LayerOutputs[]> {
  const { hiddenSize, layerCount } = description;
  const batch = hidden.length / (sequenceLength * hiddenSize);
  const perLayer: LayerOutputs[] = [];
  let states = hidden;
  for (let layer = 0; layer < layerCount; layer++) {
    const bytes = buildDecoderLayer({
      description,
      layer,
      tensors,
      sequenceLength,
      outputs: { statistics: true, hidden: true },
      attention: chooseAttention(description, 'cpu', 'F32'),
      computeDtype: 'F32',
    });
    const session = await createLayerSession(bytes, { provider: 'cpu', deviceId: 0, threads: 1, foldCasts: true });
    const outputs = await session.run(states, [batch, sequenceLength, hiddenSize]);
    await session.release();
    perLayer.push(outputs);
    states = outputs.hidden as Float32Array;
  }
  return perLayer;
}

function largest(values: Iterable<number>): number {
  let found = 0;
  for (const value of values) found = Math.max(found, value);
  return found;
}

it('micro-llama is a LLaMA whose checkpoint is complete', () => {
  expect(checkTensors(description, tensors)).toEqual({ extra: [] });
});

it('every hidden state equals that of transformers', async () => {
  const reference = await fixture('forward.safetensors');
  const ids = await tokenIds('forward.safetensors', 'ids');
  const embedded = embed(ids);
  expect(embedded).toEqual(await reference('embed'));
  const outputs = await forward(embedded, ids.length);
  for (const [layer, { hidden }] of outputs.entries()) {
    const expected = await reference(`hidden.${layer}`);
    expect(hidden).toHaveLength(expected.length);
    const scale = largest(expected.map(Math.abs));
    const difference = largest(
      expected.map((value, index) => Math.abs(value - ((hidden as Float32Array)[index] as number))),
    );
    console.log(
      `layer ${layer}: largest difference of hidden states ${difference.toExponential(1)}, largest value ${scale.toFixed(2)}`,
    );
    expect(difference / scale).toBeLessThan(2e-6);
  }
});

describe('statistics over the calibration set equal those of the reference', () => {
  it('per-sample statistics, summed in float64 over 16 samples and divided by 16', async () => {
    const reference = await fixture('scaler_dense.safetensors');
    const sequenceLength = 128;
    const ids = await tokenIds('calibration.safetensors', 'input_ids');
    const samples = ids.length / sequenceLength;
    expect(samples).toBe(16);
    const outputs = await forward(embed(ids), sequenceLength);
    let worst = 0;
    for (const [layer, { statistics }] of outputs.entries()) {
      const means = new Map(
        STATISTICS.map((name) => [name, meanOverSamples(statistics.get(name) as Float32Array, samples)]),
      );
      for (const { linear, statistic } of layerTensors(description, layer).linears) {
        const expected = await reference(`layers.${layer}.${linear}`);
        const found = means.get(statistic) as Float64Array;
        expect(found).toHaveLength(expected.length);
        const difference = largest(
          [...expected].map((value, column) => Math.abs((found[column] as number) - value) / Math.abs(value)),
        );
        worst = Math.max(worst, difference);
        expect(difference, `layer ${layer}, ${linear}`).toBeLessThan(1e-5);
      }
    }
    console.log(`statistics: largest relative difference of a column ${worst.toExponential(1)}`);
  });
});

/** [B, D] → [D] */
function meanOverSamples(statistic: Float32Array, samples: number): Float64Array {
  const width = statistic.length / samples;
  const sums = new Float64Array(width);
  for (const [index, value] of statistic.entries()) sums[index % width] = (sums[index % width] as number) + value;
  return sums.map((sum) => sum / samples);
}
