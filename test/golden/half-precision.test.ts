/**
 * A whole pruning of micro-llama with layers and head computed in F16, as on CUDA, but on the CPU: it computes F16 behind casts
 * that the runtime puts in. How far the masks of 16 bits are from the reference's is thereby known where there is no device.
 */
import { mkdirSync, mkdtempSync, readdirSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { KernelPool } from '../../worker/kernels/kernel-pool.ts';
import { differencesToReference, weightsOf } from '../support/mask-differences.ts';
import { MICRO_LLAMA, microContext, referenceResults } from '../support/masked-micro-llama.ts';
import { perplexityOf } from '../support/micro-llama-perplexity.ts';
import { pruneMicroLlama } from '../support/micro-llama-runs.ts';
import { readSafetensors } from '../support/read-safetensors.ts';

vi.mock('../../shared/onnx/compute-dtype.ts', () => ({ chooseComputeDtype: () => 'F16' }));

const DIFFERING_MAX = 0.002;
const PERPLEXITY_RATIO_MAX = 1.01;

const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'secateur-test-')));
let kernels: KernelPool;
beforeAll(async () => {
  kernels = await KernelPool.create({ threads: 2 });
});
afterAll(async () => {
  await kernels.close();
  rmSync(scratch, { recursive: true });
});

it.each(['wanda_50_ref', 'wanda_50_dense'] as const)('%s from activations in F16', async (run) => {
  const staging = join(scratch, run);
  mkdirSync(join(staging, 'layers'), { recursive: true });
  const propagate = run.endsWith('_dense') ? 'dense' : 'pruned';
  const choice = { kind: 'unstructured', sparsity: 0.5 } as const;
  const { layers } = await pruneMicroLlama({ method: 'wanda', choice, propagate }, staging, kernels);
  const files = readdirSync(join(staging, 'layers')).map((name) => readSafetensors(join(staging, 'layers', name)));
  const pruned = new Map(files.flatMap((tensors) => [...tensors]));
  const { differing, weights } = differencesToReference(run, weightsOf(MICRO_LLAMA), pruned);
  const perplexity = await perplexityOf(layers, microContext(MICRO_LLAMA, staging));
  const ratio = perplexity / (referenceResults.runs[run]?.ppl ?? 0);
  console.log(`${run}: ${differing} of ${weights} weights are masked differently; ${ratio} times the perplexity`);
  expect(weights).toBeGreaterThan(200_000);
  expect(differing / weights).toBeLessThanOrEqual(DIFFERING_MAX);
  expect(Math.max(ratio, 1 / ratio)).toBeLessThanOrEqual(PERPLEXITY_RATIO_MAX);
  // In float32 none does (test/e2e/golden-masks.test.ts): it is 16 bits that were computed in.
  if (run === 'wanda_50_ref') expect(differing).toBeGreaterThan(0);
});
