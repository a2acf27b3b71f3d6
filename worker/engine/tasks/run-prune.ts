/**
 * Prunes one layer and commits it: every linear streams source file → method → the layer's new file, every other tensor
 * is copied, bit for bit; digest and fsync follow the writing (following-digest.ts); then rename. The layer never is in
 * memory. Where a method needs Hessians, linears with the same input follow one another, so that it has one at a time.
 */
import { open } from 'node:fs/promises';
import type { FileDigest } from '../../../shared/checkpoint/source-digest.ts';
import type { TensorLocation } from '../../../shared/checkpoint/tensor-location.ts';
import { invariant } from '../../../shared/errors/secateur-error.ts';
import { reach } from '../../../shared/failpoint.ts';
import type { LinearChoice } from '../../../shared/manifest/select-linears.ts';
import type { LinearSelection__Output } from '../../../shared/rpc/generated/secateur/v1/LinearSelection.ts';
import type { PrunedTensor } from '../../../shared/rpc/generated/secateur/v1/PrunedTensor.ts';
import type { PruneTask__Output } from '../../../shared/rpc/generated/secateur/v1/PruneTask.ts';
import { layoutSafetensors } from '../../../shared/safetensors/layout.ts';
import { writeFully } from '../../../shared/storage/write-fully.ts';
import type { MethodOptions } from '../../methods/method.ts';
import { methodByName } from '../../methods/registry.ts';
import { FollowingDigest } from '../following-digest.ts';
import { LayerSolver } from '../layer-solver.ts';
import type { Outcome } from '../messages.ts';
import { readPiece } from '../read-piece.ts';
import { withScratch } from '../scratch.ts';
import type { TaskContext } from '../task-context.ts';
import { statisticOf, storedMatrix } from '../task-linears.ts';

const COPY_CHUNK_BYTES = 1024 * 1024;

export async function runPrune(task: PruneTask__Output, context: TaskContext): Promise<Outcome> {
  const { files } = context;
  const output = task.output;
  invariant(output !== null && output !== undefined, 'a prune task names its output');
  const located = await files.fetchTensors(task.tensors);
  const tensors = task.tensors.map((ref) => located.get(ref.name) as TensorLocation);
  return withScratch(files, output.name, (scratch) => pruneInto(scratch, task, output.name, tensors, context));
}

async function pruneInto(
  scratch: string,
  task: PruneTask__Output,
  name: string,
  tensors: readonly TensorLocation[],
  context: TaskContext,
): Promise<Outcome> {
  const layout = layoutSafetensors(tensors.map((each) => ({ name: each.name, dtype: each.dtype, shape: each.shape })));
  const handle = await open(scratch, 'w');
  const started = performance.now();
  const results = new Map<string, PrunedTensor>();
  let digest: FollowingDigest | null = null;
  let digested: FileDigest;
  let solver: LayerSolver | null = null;
  let pruneMs = 0;
  try {
    digest = await FollowingDigest.open(scratch);
    let [done, current] = [0, 0];
    if (methodByName(task.method).needs === 'hessian') {
      solver = await LayerSolver.create(task, context, (share) => {
        context.progress(Math.floor(done + share * current), layout.fileSizeBytes, 'bytes');
      });
    }
    await writeFully(handle, layout.headerBytes, 0, scratch);
    digest.wrote(0, layout.headerBytes.length);
    for (const tensor of solver === null ? tensors : byStatistic(tensors, task)) {
      const offset = layout.tensors.get(tensor.name)?.offset as number;
      const linear = task.linears.find((each) => each.tensor === tensor.name);
      if (linear === undefined) {
        await copyTensor(tensor, handle, offset, scratch);
        const elements = tensor.shape.reduce((a, b) => a * b, 1);
        results.set(tensor.name, { name: tensor.name, elements, zeros: 0, pruned: false });
      } else {
        current = tensor.sizeBytes;
        const begun = performance.now();
        const destination = { file: scratch, offset };
        results.set(tensor.name, await pruneLinear(task, linear, tensor, destination, context, solver));
        pruneMs += performance.now() - begun;
        reach('engine.linear-pruned');
      }
      if (tensor.sizeBytes > 0) digest.wrote(offset, tensor.sizeBytes);
      done += tensor.sizeBytes;
      context.progress(done, layout.fileSizeBytes, 'bytes');
    }
    digested = await digest.end();
  } finally {
    await Promise.all([handle.close(), digest?.close(), solver?.release()]);
  }
  reach('engine.layer-written');
  const { sha256, sizeBytes } = digested;
  const file = await context.files.commit({ root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 }, scratch);
  reach('engine.layer-committed');
  return {
    prune: {
      file,
      tensors: tensors.map(({ name }) => results.get(name) as PrunedTensor),
      pruneMs,
      commitMs: performance.now() - started - pruneMs,
      dampingRaises: solver?.dampingRaises ?? [],
    },
  };
}

/** Linears with the same input follow one another: a Hessian is read once, and one at a time. */
function byStatistic(tensors: readonly TensorLocation[], { linears }: PruneTask__Output): TensorLocation[] {
  const order = [...new Set(linears.map((linear) => linear.statistic))];
  const statistics = new Map(linears.map(({ tensor, statistic }) => [tensor, order.indexOf(statistic)]));
  const rank = ({ name }: TensorLocation) => statistics.get(name) ?? -1;
  return [...tensors].sort((a, b) => rank(a) - rank(b));
}

async function pruneLinear(
  task: PruneTask__Output,
  linear: LinearSelection__Output,
  tensor: TensorLocation,
  destination: { file: string; offset: number },
  context: TaskContext,
  hessian: LayerSolver | null,
): Promise<PrunedTensor> {
  const matrix = { ...storedMatrix(tensor), destination };
  const { rows, columns } = matrix;
  const choice = choiceOf(linear);
  const kernels = await context.kernels();
  const { zeros } =
    choice.kind === 'keepAll'
      ? await kernels.pruneMatrix({ ...matrix, saliency: { kind: 'magnitude' }, selection: choice })
      : await methodByName(task.method).pruneLinear(
          { ...matrix, choice, options: optionsOf(task), statistic: () => statisticOf(task, linear, columns) },
          { kernels, notice: context.notice, ...(hessian === null ? {} : { hessian }) },
        );
  return { name: tensor.name, elements: rows * columns, zeros, pruned: choice.kind !== 'keepAll' };
}

/** Manifest and message have the same words; those that a method does not have are empty. */
function optionsOf({ options }: PruneTask__Output): MethodOptions {
  if (options === null) return {};
  const { scope, variant, activationPower, seed, blockSize, dampingFraction } = options;
  return {
    activationPower,
    seed,
    ...(blockSize > 0 ? { blockSize, dampingFraction } : {}),
    ...(scope === 'row' || scope === 'matrix' ? { scope } : {}),
    ...(variant === 'cumulative' ? { variant } : {}),
  };
}

function choiceOf(linear: LinearSelection__Output): LinearChoice {
  if (linear.pattern) return { kind: 'pattern', keep: linear.pattern.keep, group: linear.pattern.group };
  if (linear.sparsity !== undefined && linear.selection === 'sparsity')
    return { kind: 'unstructured', sparsity: linear.sparsity };
  return { kind: 'keepAll' };
}

async function copyTensor(
  tensor: TensorLocation,
  destination: Awaited<ReturnType<typeof open>>,
  offset: number,
  file: string,
): Promise<void> {
  const source = await open(tensor.file, 'r');
  const buffer = Buffer.allocUnsafe(Math.min(COPY_CHUNK_BYTES, Math.max(1, tensor.sizeBytes)));
  try {
    for (let done = 0; done < tensor.sizeBytes; done += buffer.length) {
      const bytes = buffer.subarray(0, Math.min(buffer.length, tensor.sizeBytes - done));
      await readPiece(source, bytes, tensor.offset + done, { file: tensor.file, tensor: tensor.name });
      await writeFully(destination, bytes, offset + done, file);
    }
  } finally {
    await source.close();
  }
}
