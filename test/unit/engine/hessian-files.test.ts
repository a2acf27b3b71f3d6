/** Hessians in files: what passes wrote comes back as one matrix; whatever is wrong with a file, its name is told. */
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import type { FileRef__Output } from '../../../shared/rpc/generated/secateur/v1/FileRef.ts';
import { VerifiedFiles } from '../../../shared/storage/verified-files.ts';
import { readHessian, writeProducts } from '../../../worker/engine/hessian-files.ts';
import { EngineMatrixProduct } from '../../../worker/engine/matrix-product.ts';
import type { TaskContext } from '../../../worker/engine/task-context.ts';
import { ColumnProducts } from '../../../worker/methods/sparsegpt/column-products.ts';

const folder = mkdtempSync(join(tmpdir(), 'secateur-hessians-'));
const product = new EngineMatrixProduct(1);
afterAll(async () => {
  rmSync(folder, { recursive: true });
  await product.release();
});

const verified = new VerifiedFiles();
const files = {
  scratchPath: async (name: string) => {
    await mkdir(dirname(join(folder, name)), { recursive: true });
    return join(folder, `${name}.scratch`);
  },
  commit: async (ref: FileRef__Output, scratch: string) => {
    renameSync(scratch, join(folder, ref.name));
    return ref;
  },
  localPath: async ({ name, sizeBytes, sha256 }: FileRef__Output) => {
    await verified.verify(join(folder, name), { name, sizeBytes, sha256 });
    return join(folder, name);
  },
  release: () => undefined,
};
const context = { files } as unknown as TaskContext;

/** One token each: x xᵀ. */
const SAMPLES = [
  [1, 2],
  [3, -1],
  [0, 2],
].map((sample) => Float32Array.from(sample));
const SUMS = Float64Array.of(10, 9);

async function partOf(samples: readonly Float32Array[], suffix: string): Promise<FileRef__Output> {
  const sum = new ColumnProducts({ layer: 5, statistic: 'mlpInput' }, SUMS, product);
  for (const sample of samples) await sum.add(sample);
  return (await writeProducts(context, 5, suffix, new Map([['mlpInput', sum]]))) as FileRef__Output;
}

const hessianOf = (parts: readonly FileRef__Output[], statistic = 'mlpInput') =>
  readHessian({ layer: 5, statistic, files: parts, sums: SUMS, samples: 3 }, context);

describe('Hessians in files', () => {
  it('are 2 / samples times the sum of x xᵀ, of all parts together', async () => {
    const parts = [await partOf(SAMPLES.slice(1), 'e1-a1'), await partOf(SAMPLES.slice(0, 1), 'e1-a2')];
    expect(parts.map(({ name }) => name)).toEqual([
      'hessians/00005-e1-a1.safetensors',
      'hessians/00005-e1-a2.safetensors',
    ]);
    const hessian = await hessianOf(parts);
    for (const [index, expected] of [10, -1, -1, 9].entries())
      expect(hessian[index]).toBeCloseTo((2 / 3) * expected, 6);
  });

  it('of which a file is damaged, gone, or lacks the input are missing, by that name', async () => {
    const [whole, other] = [await partOf(SAMPLES.slice(0, 2), 'e1-a3'), await partOf(SAMPLES.slice(2), 'e1-a4')];
    const missing = { code: 'InputsMissing', retryable: true, details: { layer: 5, hessian: other.name } };
    await expect(hessianOf([other], 'mlpActivation')).rejects.toMatchObject(missing);
    const bytes = readFileSync(join(folder, other.name));
    bytes[bytes.length - 1]! ^= 1;
    writeFileSync(join(folder, other.name), bytes);
    await expect(hessianOf([whole, other])).rejects.toMatchObject(missing);
    rmSync(join(folder, other.name));
    await expect(hessianOf([whole, other])).rejects.toMatchObject(missing);
  });

  it.each(['LimitExceeded', 'StorageFull', 'StorageFailed', 'Unavailable', 'StaleEpoch'] as const)(
    'are as good as before where the worker has other trouble with them (%s)',
    async (code) => {
      const part = await partOf(SAMPLES, 'e1-a5');
      const troubled = { files: { ...files, localPath: () => Promise.reject(new SecateurError(code, 'no room')) } };
      const parts = { layer: 5, statistic: 'mlpInput', files: [part], sums: SUMS, samples: 3 };
      await expect(readHessian(parts, troubled as unknown as TaskContext)).rejects.toMatchObject({ code });
    },
  );
});
