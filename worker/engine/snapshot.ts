/** Hidden states of one microbatch as a file that another stage begins from: float32 [B, S, H], bit for bit. */
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import type { FileRef } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import { writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import { fiveDigits } from '../../shared/storage/staging-names.ts';
import { withScratch } from './scratch.ts';
import type { TaskContext } from './task-context.ts';

export async function writeSnapshot(
  context: TaskContext,
  boundary: number,
  microbatch: number,
  states: Float32Array,
): Promise<FileRef> {
  const { files, job, model } = context;
  const name = `snapshots/${fiveDigits(boundary)}/m${fiveDigits(microbatch)}.safetensors`;
  const shape = [states.length / (job.sequenceLength * model.hiddenSize), job.sequenceLength, model.hiddenSize];
  const data = new Uint8Array(states.buffer, states.byteOffset, states.byteLength);
  return withScratch(files, name, async (scratch) => {
    await writeSafetensorsFile(scratch, [{ name: 'hidden', dtype: 'F32', shape, data }]);
    const { sha256, sizeBytes } = await digestFile(scratch);
    return files.commit({ root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 }, scratch);
  });
}
