/** The estimate of a layer's bytes on a device, against numbers added up by hand. */
import { expect, it } from 'vitest';
import type { ModelDescription } from '../../../shared/models/family.ts';
import { layerDeviceBytes } from '../../../shared/onnx/device-memory.ts';

const [H, I] = [8192, 22016];
const LLAMA_65B = {
  hiddenSize: H,
  intermediateSize: I,
  headCount: 64,
  keyValueHeadCount: 64,
  headDim: 128,
} as ModelDescription;
const PARAMETERS = 4 * H * H + 3 * H * I;
const layer = { model: LLAMA_65B, sequenceLength: 2048, storedBytes: 2 * PARAMETERS, inputColumns: 0 };

it('a layer of 65B in BF16: its weights as they are, and at its widest point the squares of the last statistic', () => {
  const { weights, sample } = layerDeviceBytes({ ...layer, computeDtype: 'BF16' });
  expect(weights).toBe(2 * PARAMETERS);
  expect(sample).toBe(2048 * (8 * H + 10 * I));
});

it('in float32 its weights are cast, and the attention has its matrices of scores', () => {
  const { weights, sample } = layerDeviceBytes({ ...layer, computeDtype: 'F32' });
  expect(weights).toBe(4 * PARAMETERS);
  expect(sample).toBe(2048 * (12 * H + 4 * (H + 7 * H) + 2 * 4 * 64 * 2048));
});

it('inputs that are outputs are float32 as well', () => {
  const without = layerDeviceBytes({ ...layer, computeDtype: 'BF16' }).sample;
  const inputColumns = 3 * H + I;
  expect(layerDeviceBytes({ ...layer, computeDtype: 'BF16', inputColumns }).sample - without).toBe(
    2048 * 4 * inputColumns,
  );
});
