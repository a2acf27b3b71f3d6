/**
 * A whole pruning of micro-llama, and its perplexity, on a runtime that says it is out of memory as CUDA's does wherever more
 * than so many samples or tokens go into a run: the bytes are those of a runtime with memory for all.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { InferenceSession } from 'onnxruntime-node';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { KernelPool } from '../../worker/kernels/kernel-pool.ts';
import { MICRO_LLAMA, microContext } from '../support/masked-micro-llama.ts';
import { perplexityOf } from '../support/micro-llama-perplexity.ts';
import { type MicroRun, pruneMicroLlama } from '../support/micro-llama-runs.ts';

const WORDS =
  "Non-zero status code returned while running Mul node. Name:'node_9_Mul' Status Message: bfc_arena.cc:376 AllocateRawInternal Failed to allocate memory for requested buffer of size 2830172160";

const scratch = realpathSync(mkdtempSync(join(tmpdir(), 'secateur-test-')));
let kernels: KernelPool;
beforeAll(async () => {
  kernels = await KernelPool.create({ threads: 2 });
});
afterEach(() => vi.restoreAllMocks());
afterAll(async () => {
  await kernels.close();
  rmSync(scratch, { recursive: true });
});

/** Sessions made from here on refuse a run of more rows (samples, or the head's tokens). @returns how many were refused */
function shortOfMemory(samplesMax: number, tokensMax: number): { refused: number } {
  const counted = { refused: 0 };
  const create = InferenceSession.create.bind(InferenceSession) as (...args: unknown[]) => Promise<InferenceSession>;
  vi.spyOn(InferenceSession, 'create').mockImplementation(async (...args: unknown[]) => {
    const session = await create(...args);
    const run = session.run.bind(session) as (...args: unknown[]) => ReturnType<InferenceSession['run']>;
    session.run = (feeds: InferenceSession.FeedsType, ...rest: unknown[]) => {
      const dims = feeds.hidden?.dims ?? [0];
      if ((dims[0] as number) > (dims.length === 3 ? samplesMax : tokensMax)) {
        counted.refused += 1;
        return Promise.reject(new Error(WORDS));
      }
      return run(feeds, ...rest);
    };
    return session;
  });
  return counted;
}

async function prunedBytes(run: MicroRun, name: string): Promise<{ files: Map<string, Buffer>; perplexity: number }> {
  const staging = join(scratch, name);
  for (const folder of ['layers', 'hessians']) mkdirSync(join(staging, folder), { recursive: true });
  const { layers } = await pruneMicroLlama(run, staging, kernels);
  const perplexity = await perplexityOf(layers, microContext(MICRO_LLAMA, staging));
  const names = readdirSync(join(staging, 'layers')).sort();
  return { files: new Map(names.map((file) => [file, readFileSync(join(staging, 'layers', file))])), perplexity };
}

describe('on a device that is short of memory', () => {
  it.each([
    ['wanda', 'pruned', 3],
    ['wanda', 'dense', 1],
    ['sparsegpt', 'pruned', 2],
  ] as const)('%s, propagate: %s, at most %i samples a run: the same bytes', async (method, propagate, samples) => {
    const run: MicroRun = { method, propagate, choice: { kind: 'unstructured', sparsity: 0.5 } };
    const expected = await prunedBytes(run, `${method}-${propagate}-all`);
    const counted = shortOfMemory(samples, 50);
    const found = await prunedBytes(run, `${method}-${propagate}-short`);
    expect(counted.refused).toBeGreaterThan(0);
    expect(found).toEqual(expected);
  });

  it('the pass fails with words of use where one sample is too many', async () => {
    shortOfMemory(0, 50);
    const run: MicroRun = { method: 'wanda', propagate: 'pruned', choice: { kind: 'unstructured', sparsity: 0.5 } };
    await expect(prunedBytes(run, 'none')).rejects.toMatchObject({
      code: 'DeviceMemoryExhausted',
      message: expect.stringMatching(
        /^layer 0: the device has not the memory for 1 sample, about .*Failed to allocate/,
      ),
    });
  });
});
