/** Hidden states of one microbatch as a file that anybody can go on from: float32 [B, S, H], bit for bit. */
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import type { SnapshotFile } from '../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import { readSafetensorsHeader } from '../../shared/safetensors/read-header.ts';
import { readTensorBytes } from '../../shared/safetensors/read-tensor.ts';
import { snapshotFileName } from '../../shared/storage/staging-names.ts';
import { inputsMissing } from './inputs-missing.ts';
import { stageSafetensors } from './scratch.ts';
import type { TaskContext } from './task-context.ts';

const TENSOR = 'hidden';

/** Durable when it resolves; told at once. */
export async function writeSnapshot(
  context: TaskContext,
  boundary: number,
  microbatch: number,
  states: Float32Array,
  suffix: string,
): Promise<SnapshotFile> {
  const { files, job, model } = context;
  const name = snapshotFileName(boundary, microbatch, suffix);
  const shape = [states.length / (job.sequenceLength * model.hiddenSize), job.sequenceLength, model.hiddenSize];
  const data = new Uint8Array(states.buffer, states.byteOffset, states.byteLength);
  const file = await stageSafetensors(files, name, [{ name: TENSOR, dtype: 'F32', shape, data }]);
  reach('engine.snapshot-written');
  const snapshot = { boundary, microbatch, file };
  context.snapshotWritten(snapshot);
  return snapshot;
}

/**
 * @throws InputsMissing with boundary and microbatch, whatever is wrong with the file: the coordinator forgets it, and
 * has the states computed again
 */
export async function readSnapshot(snapshot: SnapshotFile, context: TaskContext): Promise<Float32Array> {
  const { file: ref, boundary, microbatch } = snapshot;
  try {
    if (!ref) throw new SecateurError('SourceMissing', 'no file is known for it');
    const path = await context.files.localPath(ref);
    const location = (await readSafetensorsHeader(path)).tensors.get(TENSOR);
    if (location === undefined) throw new SecateurError('SafetensorsInvalid', `${path}: holds no tensor "${TENSOR}"`);
    const bytes = await readTensorBytes(location);
    context.files.release(ref);
    return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
  } catch (thrown) {
    const what = (reason: string) =>
      `the hidden states of microbatch ${microbatch} at boundary ${boundary} cannot be read: ${reason}. They are computed again.`;
    throw inputsMissing(thrown, what, { boundary: boundary ?? 0, microbatch: microbatch ?? 0 });
  }
}
