/**
 * Perplexity and output errors against the reference (locuslab/wanda at 8e8fc87, in float32), on micro-llama as it is and
 * with the reference's own masks: the whole way from token ids, as the engine goes it.
 */
import { mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { layerTensors } from '../../shared/models/family.ts';
import { runMeasureError } from '../../worker/engine/tasks/run-measure-error.ts';
import {
  goldenIds,
  MICRO_LLAMA,
  maskedMicroLlama,
  microContext,
  microLlama,
  referenceResults,
  SEQUENCE_LENGTH,
  tensorRefs,
} from '../support/masked-micro-llama.ts';
import { perplexityOf, WINDOWS } from '../support/micro-llama-perplexity.ts';

const SAMPLES = 16;

const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'secateur-test-')));
afterAll(() => rmSync(scratch, { recursive: true }));

describe('perplexity on micro-llama', () => {
  it('of the dense model is the reference’s, whatever the batch and however the windows are shared', async () => {
    const { layers } = await tensorRefs(MICRO_LLAMA, 'FILE_ROOT_SOURCE');
    const context = microContext(MICRO_LLAMA, MICRO_LLAMA);
    const whole = await perplexityOf(layers, context);
    expect(Math.abs(whole / referenceResults.dense.ppl - 1)).toBeLessThan(1e-5);
    const shares = [[0, 1], [1, 40], [40, WINDOWS]] as const; // biome-ignore format: pairs
    expect(await perplexityOf(layers, context, { batch: 1, shares })).toBe(whole);
  });

  it.each(
    ['wanda', 'magnitude'].flatMap((method) =>
      ['50', '2-4', '4-8'].map((pattern) => `${method}_${pattern}${method === 'wanda' ? '_ref' : ''}`),
    ),
  )('with the masks of %s is the reference’s', async (run) => {
    const masked = await maskedMicroLlama(scratch, run);
    const { layers } = await tensorRefs(masked, 'FILE_ROOT_STAGING');
    const found = await perplexityOf(layers, microContext(MICRO_LLAMA, masked));
    expect(Math.abs(found / (referenceResults.runs[run]?.ppl ?? 0) - 1)).toBeLessThan(1e-5);
  });
});

/** Σ (W x - W' x)² / Σ (W x)² of every linear of every layer, over these samples. */
async function outputErrors(pruned: string, shares: readonly [number, number][], threads: number): Promise<number[]> {
  const [source, committed] = [
    await tensorRefs(MICRO_LLAMA, 'FILE_ROOT_SOURCE'),
    await tensorRefs(pruned, 'FILE_ROOT_STAGING'),
  ];
  const rows: { error: number[]; output: number[] }[] = [];
  const width = microLlama.layerCount * layerTensors(microLlama, 0).linears.length;
  for (const [first, end] of shares) {
    const { measureError } = await runMeasureError(
      {
        ids: goldenIds('calibration'),
        sequenceLength: SEQUENCE_LENGTH,
        windows: [{ first, end }],
        embedding: source.named(['model.embed_tokens.weight'])[0] ?? null,
        source: source.layers,
        committed: committed.layers,
        propagatePruned: false,
      },
      microContext(MICRO_LLAMA, pruned, threads),
    );
    for (let sample = 0; sample < end - first; sample++) {
      const row = (values: number[] | undefined) => (values ?? []).slice(sample * width, (sample + 1) * width);
      rows.push({ error: row(measureError?.error), output: row(measureError?.output) });
    }
  }
  const total = (of: 'error' | 'output', linear: number) => rows.reduce((sum, row) => sum + (row[of][linear] ?? 0), 0);
  return Array.from({ length: width }, (_, linear) => total('error', linear) / total('output', linear));
}

describe('output errors on micro-llama', () => {
  it('of every linear are the reference’s, whoever measured which samples with how many threads', async () => {
    const run = 'wanda_50_dense';
    const pruned = await maskedMicroLlama(scratch, run);
    const found = await outputErrors(pruned, [[0, SAMPLES]], 2);
    const names = Array.from({ length: microLlama.layerCount }, (_, layer) =>
      layerTensors(microLlama, layer).linears.map(({ linear }) => `layers.${layer}.${linear}`),
    ).flat();
    expect(found).toHaveLength(names.length);
    for (const [index, name] of names.entries()) {
      const expected = referenceResults.runs[run]?.matrices[name]?.rel_err_dense_inputs ?? 0;
      expect(Math.abs((found[index] as number) / expected - 1), `${name}: ${found[index]} ${expected}`).toBeLessThan(
        1e-4,
      );
    }
    const shared = await outputErrors(
      pruned,
      [
        [0, 3],
        [3, 4],
        [4, SAMPLES],
      ],
      1,
    );
    expect(shared).toEqual(found);
  });
});
