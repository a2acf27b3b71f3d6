/** Products of input columns (worker/methods/sparsegpt/column-products.ts) as files: I32, one tensor a statistic, packed. */
import { openSourceFile, readFully } from '../../shared/checkpoint/source-file.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import type { FileRef, FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { hessianFileName } from '../../shared/storage/staging-names.ts';
import { type ColumnProducts, ProductsSum, packedLength, toHessian } from '../methods/sparsegpt/column-products.ts';
import { sharedFloats } from '../methods/sparsegpt/team.ts';
import { inputsMissing } from './inputs-missing.ts';
import { stageSafetensors } from './scratch.ts';
import type { TaskContext } from './task-context.ts';

/** Read at once. */
const PIECE_BYTES = 8 * 1024 * 1024;

/** Durable when it resolves. `products`: by statistic. */
export async function writeProducts(
  context: TaskContext,
  layer: number,
  suffix: string,
  products: ReadonlyMap<string, ColumnProducts>,
): Promise<FileRef> {
  const tensors = [...products].map(([name, { values }]) => ({
    name,
    dtype: 'I32' as const,
    shape: [values.length],
    data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength),
  }));
  const file = await stageSafetensors(context.files, hessianFileName(layer, suffix), tensors);
  reach('engine.hessian-written');
  return file;
}

export interface HessianParts {
  readonly layer: number;
  readonly statistic: string;
  /** Added up they cover every sample once. */
  readonly files: readonly FileRef__Output[];
  /** Σ x² of each input column over all tokens, [I]. */
  readonly sums: Float64Array;
  readonly samples: number;
}

/**
 * H [I, I] float32 of one input, in shared memory (`zeros` gives it), from the parts that cover its samples. Memory: H itself, and a piece of a part.
 *
 * @throws InputsMissing with the file's name as `hessian`, whatever is wrong with it: the coordinator forgets it, and has
 * its samples computed again
 */
export async function readHessian(
  parts: HessianParts,
  context: TaskContext,
  zeros = sharedFloats,
): Promise<Float32Array> {
  const columns = parts.sums.length;
  const hessian = zeros(columns * columns);
  const sum = new ProductsSum(hessian, columns);
  for (const file of parts.files) await readPart(parts, file, sum, context);
  toHessian(hessian, parts.sums, parts.samples);
  return hessian;
}

async function readPart(
  { layer, statistic, sums }: HessianParts,
  ref: FileRef__Output,
  sum: ProductsSum,
  context: TaskContext,
): Promise<void> {
  try {
    const path = await context.files.localPath(ref);
    const location = (await readSafetensorsHeader(path)).tensors.get(statistic);
    const length = packedLength(sums.length);
    if (location?.dtype !== 'I32' || location.sizeBytes !== length * 4) {
      throw new SecateurError('SafetensorsInvalid', `${path}: expected a tensor "${statistic}", I32 [${length}]`);
    }
    await addPieces(path, location.offset, location.sizeBytes, sum);
    context.files.release(ref);
  } catch (thrown) {
    const what = (reason: string) =>
      `layer ${layer}: a part of its Hessians cannot be read: ${reason}. It is computed again.`;
    throw inputsMissing(thrown, what, { layer, hessian: ref.name });
  }
}

async function addPieces(path: string, offset: number, sizeBytes: number, sum: ProductsSum): Promise<void> {
  const { handle } = await openSourceFile(path, 'SourceChanged');
  try {
    const buffer = new Uint8Array(Math.min(PIECE_BYTES, sizeBytes));
    for (let done = 0; done < sizeBytes; done += buffer.length) {
      const bytes = buffer.subarray(0, Math.min(buffer.length, sizeBytes - done));
      const found = await readFully(handle, bytes, offset + done);
      if (found < bytes.length) throw new SecateurError('SourceChanged', `${path}: it became shorter`);
      sum.add(new Int32Array(bytes.buffer, 0, bytes.length / 4));
    }
  } finally {
    await handle.close();
  }
}
