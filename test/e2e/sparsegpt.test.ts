/**
 * SparseGPT from manifest to checkpoint, with real processes: what the reference makes of micro-llama, from our own forward
 * passes and Hessians; and the same bytes whoever computed which samples on how many threads.
 */
import { createHash } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { FloatDtype } from '../../shared/safetensors/dtype.ts';
import { widenWeight } from '../../worker/kernels/reference.ts';
import { referenceResults } from '../support/masked-micro-llama.ts';
import { type GoldenTensor, readSafetensors, tensorOf } from '../support/read-safetensors.ts';
import { Bench, type ManifestOptions, microManifest, REPOSITORY } from '../support/secateur-process.ts';
import { compareWeights } from '../support/sparsegpt-cases.ts';
import { writeTinyModel } from '../support/tiny-model.ts';

const FIXTURES = join(REPOSITORY, 'test/golden/fixtures/micro');
const MODEL = join(REPOSITORY, 'examples/micro-llama/model');
const EVALUATION = { tokens: [join(FIXTURES, 'evaluation.safetensors')] };

/** Golden runs; of all weights the share that may be masked otherwise: its own float32 and float64 differ by 0.2 and 0.9 %. */
const RUNS = [
  ['sparsegpt_50_ref', { sparsity: 0.5 }, 0.005],
  ['sparsegpt_2-4_ref', { pattern: '2:4' }, 0.02],
  ['sparsegpt_50_dense', { sparsity: 0.5, propagate: 'dense' }, 0.005],
  ['sparsegpt_2-4_dense', { pattern: '2:4', propagate: 'dense' }, 0.02],
] as const;

function widen({ dtype, bytes }: GoldenTensor): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  return Float32Array.from(new Uint16Array(bytes.buffer), (bits) => widenWeight(dtype as FloatDtype, bits));
}

async function prune(bench: Bench, name: string, options: Omit<ManifestOptions, 'output'>, args: string[]) {
  const output = bench.path(name);
  writeFileSync(bench.path(`${name}.yaml`), microManifest({ output, name, ...options }));
  const finished = await bench.run(['run', bench.path(`${name}.yaml`), ...args]);
  expect(finished.code, finished.stderr).toBe(0);
  return output;
}

function digestOf(output: string): string {
  return createHash('sha256')
    .update(readFileSync(join(output, 'model.safetensors')))
    .digest('hex');
}

describe('whole runs on micro-llama are those of the reference', () => {
  it.each(RUNS)('%s', async (run, pruning, differingMax) => {
    await using bench = new Bench();
    const options = { pruning: { method: 'sparsegpt', ...pruning }, evaluation: EVALUATION };
    const output = await prune(bench, 'out', options, ['--workers', '2']);
    const record = JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8'));
    const reference = referenceResults.runs[run] as { ppl: number };
    const relative = record.perplexity[0].pruned / reference.ppl - 1;
    const ours = readSafetensors(join(output, 'model.safetensors'));
    let [differing, weights] = [0, 0];
    for (const [key, tensor] of readSafetensors(join(FIXTURES, `sparsegpt/${run}.weights.safetensors`))) {
      const expected = widen(tensor);
      const found = widen(tensorOf(ours, `model.${key}.weight`));
      const { maskDiffers } = compareWeights(found, expected, tensor.shape.at(-1) as number);
      differing += maskDiffers * found.length;
      weights += found.length;
    }
    console.log(`${run}: ${Math.round(differing)} of ${weights} masked otherwise, perplexity ${relative}`);
    expect(weights).toBeGreaterThan(50_000);
    expect(Math.abs(relative)).toBeLessThan(0.005);
    expect(differing / weights).toBeLessThanOrEqual(differingMax);
    const verified = await bench.run(['verify', output, '--source', MODEL]);
    expect(verified.code, verified.stdout + verified.stderr).toBe(0);
  });
});

describe('the same bytes', () => {
  it.each(['pruned', 'dense'])('whoever had which samples, on how many threads (propagate: %s)', async (propagate) => {
    await using bench = new Bench();
    const tokens = join(FIXTURES, 'calibration.safetensors');
    const found: string[] = [];
    for (const [index, [workers, threads, microbatch]] of [
      ['1', '1', 4],
      ['2', '2', 1],
      ['3', '1', 1],
    ].entries()) {
      const options = {
        pruning: { method: 'sparsegpt', sparsity: 0.5, propagate },
        calibration: { tokens, microbatch },
        ...(index === 2 ? { placement: { stages: 2 } } : {}),
      };
      const args = ['--workers', String(workers), '--threads', String(threads)];
      const output = await prune(bench, `out-${index}`, options, args);
      found.push(digestOf(output));
    }
    expect(new Set(found).size).toBe(1);
  });

  it('of a layer that is worth threads of its own, on one and on three', async () => {
    await using bench = new Bench();
    const model = bench.path('model');
    await writeTinyModel(model, { layers: 1, samples: 3, intermediate: 2048 });
    const calibration = { tokens: join(model, 'ids.safetensors') };
    const options = { source: model, calibration, pruning: { method: 'sparsegpt', sparsity: 0.5 } };
    const found: string[] = [];
    for (const threads of ['1', '3']) {
      const output = await prune(bench, `out-${threads}`, options, ['--workers', '1', '--threads', threads]);
      found.push(digestOf(output));
    }
    expect(new Set(found).size).toBe(1);
  });
});
