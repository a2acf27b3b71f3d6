import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { LayerIntake } from '../../../coordinator/core/state.ts';
import { loadSums, reduceStatistics, type SampleParts } from '../../../coordinator/effects/statistics.ts';
import { fileStatistics } from '../../../coordinator/effects/statistics-store.ts';
import type { MicrobatchSet } from '../../../shared/microbatch-set.ts';

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
  let attempts = 0;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'secateur-statistics-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const begin = (at: number) => {
    attempts += 1;
    return fileStatistics(() => folder).begin({ job: 'j', task: 't', attempt: attempts, epoch: 1 }, at);
  };
  /** One task's statistics, its rows in the order of its microbatches. */
  const part = async (microbatches: MicrobatchSet, ...rows: Uint8Array[]) => {
    const sink = begin(3);
    for (const [index, values] of rows.entries()) await sink.add(index, values);
    const file = await sink.finish(rows.length);
    return { microbatches, file: file as NonNullable<typeof file> };
  };
  const samplesIn = (count: number, ...parts: SampleParts['parts'][number][]): SampleParts => ({
    parts,
    microbatch: 1,
    count,
  });
  const values = (sums: ReadonlyMap<string, Uint8Array>, name: string) => [
    ...new Float64Array((sums.get(name) as Uint8Array).slice().buffer),
  ];

  it('are added up in float64, sample by sample, and come back by name', async () => {
    const both = samplesIn(2, await part([[0, 2]], row(1, 2, 3, 4, 5), row(2 ** -30, 0, 0, 0, 1)));
    const sums = await reduceStatistics(folder, 3, layer, both);
    const loaded = await loadSums(folder, sums as NonNullable<typeof sums>);
    // 1 + 2^-30 is no float32: only a sum in float64 keeps it.
    expect(values(loaded, 'attentionInput')).toEqual([1 + 2 ** -30, 2]);
    expect(values(loaded, 'mlpActivation')).toEqual([3, 4, 6]);
  });

  it('are the same bytes however tasks split the samples and whichever part came first', async () => {
    const rows = [0.1, 1e16, -0.3, 7, 1e-9].map((value) => row(value, value, value, value, value));
    const digests = new Set<string>();
    const splits: MicrobatchSet[][] = [
      [[[0, 5]]],
      [[[2, 5]], [[0, 2]]],
      [
        [
          [1, 2],
          [4, 5],
        ],
        [
          [0, 1],
          [2, 4],
        ],
      ],
    ];
    for (const sets of splits) {
      const parts = [];
      for (const set of sets) {
        parts.push(await part(set, ...set.flatMap(([first, end]) => rows.slice(first, end))));
      }
      digests.add((await reduceStatistics(folder, 3, layer, samplesIn(5, ...parts)))?.sha256 ?? '');
    }
    expect(digests.size).toBe(1);
  });

  it('that are not finite name layer, statistic, linears and column', async () => {
    const samples = samplesIn(1, await part([[0, 1]], row(1, 2, 3, Number.POSITIVE_INFINITY, 5)));
    await expect(reduceStatistics(folder, 3, layer, samples)).rejects.toMatchObject({
      code: 'NonFiniteValue',
      details: { layer: 3, statistic: 'mlpActivation', column: 1, tensors: ['down'] },
    });
  });

  it('whose file is gone, short or changed are reported as lost, not used', async () => {
    const stored = await part([[0, 1]], row(1, 2, 3, 4, 5));
    const samples = samplesIn(1, stored);
    const file = join(folder, stored.file.name);
    writeFileSync(file, row(1, 2, 3, 4, 6));
    expect(await reduceStatistics(folder, 0, layer, samples)).toBeNull();
    writeFileSync(file, row(1, 2));
    expect(await reduceStatistics(folder, 0, layer, samples)).toBeNull();
    rmSync(file);
    expect(await reduceStatistics(folder, 0, layer, samples)).toBeNull();
  });

  it('of which a row never came are not stored, and leave no file behind', async () => {
    const sink = begin(3);
    await sink.add(0, row(1, 2, 3, 4, 5));
    await sink.add(2, row(1, 2, 3, 4, 5));
    expect(await sink.finish(3)).toBeNull();
    expect(readdirSync(join(folder, 'statistics'))).toEqual([]);
  });

  it('that come out of order or twice are stored in order, once', async () => {
    const sink = begin(3);
    for (const index of [1, 0, 1]) await sink.add(index, row(index, 0, 0, 0, 0));
    const file = await sink.finish(2);
    expect([...new Float32Array(Uint8Array.from(readFileSync(join(folder, file?.name ?? ''))).buffer)]).toEqual([
      0, 0, 0, 0, 0, 1, 0, 0, 0, 0,
    ]);
  });
});
