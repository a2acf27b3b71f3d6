/**
 * Outliers of micro-llama's layers, given the reference's statistics of the dense model. The counts were made with numpy as
 * check_outlier_mean in luuyin/OWL has it, metrics in float32.
 */
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { storedMatrix } from '../../worker/engine/task-linears.ts';
import { KernelPool } from '../../worker/kernels/kernel-pool.ts';
import { countOutliers } from '../../worker/methods/outliers.ts';
import { fixture } from '../support/golden-masks.ts';
import { readSafetensors, tensorOf } from '../support/read-safetensors.ts';

const MODEL = fileURLToPath(new URL('../../examples/micro-llama/model/model.safetensors', import.meta.url));
const LAYER_WEIGHTS = 55_296;
/** Threshold → of each layer. */
const COUNTS = [
  [3, [2210, 2393, 2189, 1763]],
  [5, [324, 218, 130, 77]],
  [7, [87, 43, 18, 2]],
] as const;

let pool: KernelPool;
beforeAll(async () => {
  pool = await KernelPool.create({ threads: 2 });
});
afterAll(() => pool.close());

test.each(COUNTS)('above %d times the mean', async (threshold, expected) => {
  const { tensors } = await readSafetensorsHeader(MODEL);
  const scalers = readSafetensors(fixture('micro/scaler_dense.safetensors'));
  for (const [layer, outliers] of expected.entries()) {
    const names = [...scalers.keys()].filter((name) => name.startsWith(`layers.${layer}.`));
    const linears = names.map((name) => {
      const location = tensors.get(`model.${name}.weight`);
      if (location === undefined) throw new Error(`the model has ${name}`);
      const inputNormSquared = Float64Array.from(new Float32Array(tensorOf(scalers, name).bytes.buffer));
      return { ...storedMatrix(location), statistic: { linear: name, inputNormSquared, samples: 1 } };
    });
    const found = await countOutliers(linears, threshold, pool, () => undefined);
    expect(found).toEqual({ outliers, weights: LAYER_WEIGHTS });
  }
});
