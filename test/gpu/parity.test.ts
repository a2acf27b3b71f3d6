/**
 * Whole jobs on a CUDA device against the reference (float32) and against the CPU: micro-llama as it is, in F16, and in BF16.
 * On the device activations are in 16 bits and attention is another operator, so that nothing is equal to the bit: what is
 * counted here is how much differs, and printed.
 */
import { cpSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { GPU_PROVIDER, isGpuRequired, missingGpu } from '../support/gpu-provider.ts';
import {
  differencesBetween,
  differencesToReference,
  type MaskDifferences,
  weightsOf,
} from '../support/mask-differences.ts';
import { MICRO_LLAMA } from '../support/masked-micro-llama.ts';
import { readSafetensors } from '../support/read-safetensors.ts';
import { Bench, microManifest, REPOSITORY } from '../support/secateur-process.ts';

/** Of all weights (issue 5); the reference itself differs by 0.05 % between BF16 and float32. */
const DIFFERING_MAX = 0.002;
const PERPLEXITY_RATIO_MAX = 1.01;
const EVALUATION = { tokens: [join(REPOSITORY, 'test/golden/fixtures/micro/evaluation.safetensors')] };

const RUNS = [
  ['wanda_50_ref', { sparsity: 0.5 }],
  ['wanda_50_dense', { sparsity: 0.5, propagate: 'dense' }],
  ['wanda_2-4_ref', { pattern: '2:4' }],
] as const;

const missing = await missingGpu();

if (isGpuRequired) it('a device is there, as SECATEUR_GPU=1 asks', () => expect(missing).toBeNull());

interface Asked {
  readonly source?: string;
  readonly provider?: 'cpu' | 'cuda';
  readonly pruning?: Record<string, unknown>;
  readonly evaluation?: Record<string, unknown>;
}

/** @returns the folder of the output, which one worker has made */
async function prune(bench: Bench, name: string, { provider = GPU_PROVIDER, ...asked }: Asked): Promise<string> {
  const output = bench.path(name);
  const manifest = bench.path(`${name}.yaml`);
  const pruning = { method: 'wanda', ...(asked.pruning ?? { sparsity: 0.5 }) };
  writeFileSync(manifest, microManifest({ ...asked, name, output, pruning }));
  const finished = await bench.run(['run', manifest, '--workers', '1', '--provider', provider]);
  expect(finished.code, finished.stderr).toBe(0);
  return output;
}

function told(what: string, { differing, weights }: MaskDifferences): number {
  const share = differing / weights;
  console.log(`${what}: ${differing} of ${weights} weights are masked differently, ${(100 * share).toFixed(3)} %`);
  expect(weights).toBeGreaterThan(200_000);
  return share;
}

/** Of every file that holds tensors; the names are those of both. */
function differingBytes(one: string, other: string): { file: string; differing: number; bytes: number }[] {
  const names = ['model.safetensors', 'secateur/statistics.safetensors'].filter((name) => existsSync(join(one, name)));
  return names.map((file) => {
    const [a, b] = [readFileSync(join(one, file)), readFileSync(join(other, file))];
    expect(b.length).toBe(a.length);
    return { file, differing: a.reduce((count, byte, at) => count + Number(byte !== b[at]), 0), bytes: a.length };
  });
}

/** micro-llama with every weight rounded to BF16: to nothing where F16 has a finer one, the same for all who read it. */
async function inBfloat16(folder: string): Promise<string> {
  cpSync(MICRO_LLAMA, folder, { recursive: true });
  const tensors = [...readSafetensors(join(MICRO_LLAMA, 'model.safetensors'))].map(([name, { shape, bytes }]) => {
    const single = new Uint32Array(Float32Array.from(new Float16Array(bytes.buffer)).buffer);
    const upper = Uint16Array.from(single, (value) => value >>> 16);
    return { name, dtype: 'BF16' as const, shape, data: new Uint8Array(upper.buffer) };
  });
  await writeSafetensorsFile(join(folder, 'model.safetensors'), tensors);
  return folder;
}

function perplexityOf(output: string): { dense: number; pruned: number } {
  return JSON.parse(readFileSync(join(output, 'secateur.json'), 'utf8')).perplexity[0];
}

describe.skipIf(missing !== null)(
  missing === null ? `whole jobs on ${GPU_PROVIDER}` : `whole jobs on CUDA (skipped: ${missing})`,
  () => {
    for (const [run, pruning] of RUNS) {
      it(`in F16 masks are those of the reference's ${run} but for 0.2 %`, async () => {
        await using bench = new Bench();
        const output = await prune(bench, 'out', { pruning });
        expect(told(run, differencesToReference(run, weightsOf(MICRO_LLAMA), weightsOf(output)))).toBeLessThanOrEqual(
          DIFFERING_MAX,
        );
      });
    }

    it('in BF16 masks are those of float32 on the CPU but for 0.2 %', async () => {
      await using bench = new Bench();
      const source = await inBfloat16(bench.path('model'));
      const [ours, theirs] = [
        await prune(bench, 'out', { source }),
        await prune(bench, 'cpu', { source, provider: 'cpu' }),
      ];
      expect(told('BF16', differencesBetween(weightsOf(ours), weightsOf(theirs)))).toBeLessThanOrEqual(DIFFERING_MAX);
    });

    it('two runs on one device: bytes that differ are counted', async () => {
      await using bench = new Bench();
      const [one, other] = [await prune(bench, 'one', {}), await prune(bench, 'two', {})];
      const found = differingBytes(one, other);
      for (const { file, differing, bytes } of found) console.log(`${file}: ${differing} of ${bytes} bytes differ`);
      expect(found.map(({ file }) => file)).toContain('model.safetensors');
      if (GPU_PROVIDER === 'cpu') expect(found.map(({ differing }) => differing)).toEqual(found.map(() => 0));
    });

    it('perplexities are those of the CPU but for 1 %, before and after', async () => {
      await using bench = new Bench();
      const evaluation = EVALUATION;
      const ours = perplexityOf(await prune(bench, 'out', { evaluation }));
      const theirs = perplexityOf(await prune(bench, 'cpu', { evaluation, provider: 'cpu' }));
      for (const which of ['dense', 'pruned'] as const) {
        console.log(`${which}: ${ours[which]} on ${GPU_PROVIDER}, ${theirs[which]} on the CPU`);
        const ratio = ours[which] / theirs[which];
        expect(Math.max(ratio, 1 / ratio)).toBeLessThanOrEqual(PERPLEXITY_RATIO_MAX);
      }
    });
  },
);
