import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LayerIntake } from '../../../coordinator/core/state.ts';
import { loadSums, reduceStatistics, storeSamples } from '../../../coordinator/effects/statistics.ts';

const linear = (tensor: string, statistic: string, inFeatures: number) => ({
  tensor,
  statistic,
  inFeatures,
  outFeatures: 1,
  choice: { kind: 'unstructured' as const, sparsity: 0.5 },
});
const layer: LayerIntake = {
  linears: [linear('q', 'attentionInput', 2), linear('k', 'attentionInput', 2), linear('down', 'mlpActivation', 3)],
  tensors: [],
};
const row = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);

describe('the statistics of a layer', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-statistics-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('are added up in float64, sample by sample, and come back by name', async () => {
    const samples = await storeSamples(folder, 3, [row(1, 2, 3, 4, 5), row(2 ** -30, 0, 0, 0, 1)]);
    const sums = await reduceStatistics(folder, 3, layer, samples);
    const loaded = await loadSums(folder, sums as NonNullable<typeof sums>);
    // 1 + 2^-30 is no float32: only a sum in float64 keeps it.
    expect([...new Float64Array((loaded.get('attentionInput') as Uint8Array).slice().buffer)]).toEqual([
      1 + 2 ** -30,
      2,
    ]);
    expect([...new Float64Array((loaded.get('mlpActivation') as Uint8Array).slice().buffer)]).toEqual([3, 4, 6]);
  });

  it('that are not finite name layer, statistic, linears and column', async () => {
    const samples = await storeSamples(folder, 3, [row(1, 2, 3, Number.POSITIVE_INFINITY, 5)]);
    await expect(reduceStatistics(folder, 3, layer, samples)).rejects.toMatchObject({
      code: 'NonFiniteValue',
      details: { layer: 3, statistic: 'mlpActivation', column: 1, tensors: ['down'] },
    });
  });

  it('whose file is gone, short or changed are reported as lost, not used', async () => {
    const samples = await storeSamples(folder, 0, [row(1, 2, 3, 4, 5)]);
    const file = join(folder, samples.name);
    writeFileSync(file, row(1, 2, 3, 4, 6));
    expect(await reduceStatistics(folder, 0, layer, samples)).toBeNull();
    writeFileSync(file, row(1, 2));
    expect(await reduceStatistics(folder, 0, layer, samples)).toBeNull();
    rmSync(file);
    expect(await reduceStatistics(folder, 0, layer, samples)).toBeNull();
  });
});
