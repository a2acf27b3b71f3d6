/**
 * Perplexity after every run of the reference (locuslab/wanda at 8e8fc87) on micro-llama, every method, pattern and ratio:
 * from token ids through our own passes, statistics, pruning and evaluation. All it needs is in fixtures/micro.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { LayerRef__Output } from '../../shared/rpc/generated/secateur/v1/LayerRef.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { KernelPool } from '../../worker/kernels/kernel-pool.ts';
import { type StoredWeights, widenWeight } from '../../worker/kernels/reference.ts';
import { fixture, json, matrixOf, type Run, storedWeights, unpackMask } from '../support/golden-masks.ts';
import { MICRO_LLAMA, microContext, tensorRefs } from '../support/masked-micro-llama.ts';
import { perplexityOf } from '../support/micro-llama-perplexity.ts';
import { type MicroRun, pruneMicroLlama } from '../support/micro-llama-runs.ts';
import { readSafetensors, tensorOf } from '../support/read-safetensors.ts';

type ReferenceRun = Run & { readonly ppl: number };

/** Relative, by method. */
const DIFFERENCE_MAX: Readonly<Record<string, number>> = { wanda: 0.001, magnitude: 0.001, sparsegpt: 0.005 };

const { runs } = json<{ runs: Record<string, ReferenceRun> }>('micro/results.json');
/** Magnitudes of 16 bits tie in groups, and which of equal ones goes the reference leaves to `topk`. */
const [tied, untied] = [true, false].map((wanted) =>
  Object.entries(runs).filter(([, { method, m }]) => (method === 'magnitude' && m > 0) === wanted),
) as [[string, ReferenceRun][], [string, ReferenceRun][]];

const folder = realpathSync(mkdtempSync(join(tmpdir(), 'secateur-test-')));
let kernels: KernelPool;
beforeAll(async () => {
  kernels = await KernelPool.create({ threads: 2 });
});
afterAll(async () => {
  await kernels.close();
  rmSync(folder, { recursive: true });
});

function makeFolder(name: string): string {
  const made = join(folder, name);
  mkdirSync(made);
  return made;
}

/** The reference's n-m prunes n of m. */
function microRun(name: string, { method, sparsity_ratio: sparsity, n, m }: ReferenceRun): MicroRun {
  return {
    method: method as MicroRun['method'],
    choice: m > 0 ? { kind: 'pattern', keep: m - n, group: m } : { kind: 'unstructured', sparsity },
    propagate: name.endsWith('_dense') ? 'dense' : 'pruned',
  };
}

function expectPerplexity(name: string, found: number): void {
  const { method, ppl } = runs[name] as ReferenceRun;
  console.log(
    `${name}: perplexity ${found.toFixed(4)}, relative to the reference's ${(found / ppl - 1).toExponential(1)}`,
  );
  expect(Math.abs(found / ppl - 1), name).toBeLessThan(DIFFERENCE_MAX[method] as number);
}

describe('perplexity after pruning is the reference’s', () => {
  test('every run that was made is here', () => {
    const amounts = ['50', '2-4', '4-8', '10', '20', '30', '40', '60', '70', '80'];
    const expected = [
      ...amounts.flatMap((amount) => [`wanda_${amount}_ref`, `wanda_${amount}_dense`, `magnitude_${amount}`]),
      ...['50', '2-4'].flatMap((amount) => [`sparsegpt_${amount}_ref`, `sparsegpt_${amount}_dense`]),
    ];
    expect(Object.keys(runs).sort()).toEqual(expected.sort());
    expect([untied.length, tied.length]).toEqual([32, 2]);
  });

  test.each(untied)('%s', async (name, run) => {
    const { layers, context } = await pruneMicroLlama(microRun(name, run), makeFolder(name), kernels);
    expectPerplexity(name, await perplexityOf(layers, context));
  });

  test.each(tied)('%s, once equals go in the reference’s order: no other weight differs', async (name, run) => {
    const staging = makeFolder(name);
    const { layers, context } = await pruneMicroLlama(microRun(name, run), staging, kernels);
    const ours = (await perplexityOf(layers, context)) / run.ppl - 1;
    const resolved = makeFolder(`${name}-resolved`);
    const groups = await resolveTies(name, run.m, layers, staging, resolved);
    console.log(`${name}: ${groups} groups with ties differ, perplexity with them ${ours.toExponential(1)}`);
    expect(groups).toBeGreaterThan(0);
    // What we ship, with our choice among equals.
    expect(Math.abs(ours)).toBeLessThan(5e-3);
    const { layers: same } = await tensorRefs(resolved, 'FILE_ROOT_STAGING');
    expectPerplexity(name, await perplexityOf(same, microContext(MICRO_LLAMA, resolved)));
  });
});

/**
 * Writes the committed layers to another folder, with the reference's choice where a group of ours prunes others of equal
 * magnitude. Fails where what differs is no tie. @returns how many groups differed
 */
async function resolveTies(
  run: string,
  group: number,
  layers: readonly LayerRef__Output[],
  staging: string,
  resolved: string,
): Promise<number> {
  const masks = readSafetensors(fixture(`micro/masks/${run}.safetensors`));
  const source = readSafetensors(join(MICRO_LLAMA, 'model.safetensors'));
  let groups = 0;
  const tensors = layers.flatMap((layer) => {
    const committed = readSafetensors(join(staging, layer.tensors[0]?.file?.name ?? ''));
    return [...committed].map(([name, tensor]) => {
      const mask = masks.get(name.replace(/^model\.|\.weight$/g, ''));
      const weights = storedWeights(tensor);
      const { rows, columns, dtype } = matrixOf(name, tensor);
      const before = storedWeights(tensorOf(source, name));
      if (mask !== undefined) {
        const magnitudes = Float32Array.from(before, (stored) => Math.abs(widenWeight(dtype, stored)));
        groups += resolveGroups(name, group, weights, before, magnitudes, unpackMask(mask, rows, columns));
      }
      const data = new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength);
      return { name, dtype: tensor.dtype, shape: tensor.shape, data };
    });
  });
  await writeSafetensorsFile(join(resolved, 'model.safetensors'), tensors);
  return groups;
}

/** Of one linear, in place. No weight of micro-llama is 0 before. */
function resolveGroups(
  name: string,
  group: number,
  weights: StoredWeights,
  before: StoredWeights,
  magnitudes: Float32Array,
  mask: Uint8Array,
): number {
  let groups = 0;
  for (let first = 0; first < weights.length; first += group) {
    const places = Array.from({ length: group }, (_, index) => first + index);
    const differing = places.filter((at) => Number(weights[at] === 0) !== mask[at]);
    if (differing.length === 0) continue;
    groups += 1;
    const where = `${name}, weights ${differing.join(', ')}`;
    expect(new Set(differing.map((at) => magnitudes[at])).size, where).toBe(1);
    expect(differing.filter((at) => mask[at] === 1).length, where).toBe(differing.length / 2);
    for (const at of differing) weights[at] = mask[at] === 1 ? 0 : (before[at] as number);
  }
  return groups;
}
