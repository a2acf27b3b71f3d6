/** A file that is being made for staging, and goes again when its making fails: a full disk must not stay full of it. */
import { rm } from 'node:fs/promises';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import type { FileRef } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import { type TensorToWrite, writeSafetensorsFile } from '../../shared/safetensors/write-file.ts';
import type { JobFiles } from '../../shared/storage/job-files.ts';

export async function withScratch<T>(files: JobFiles, name: string, make: (scratch: string) => Promise<T>): Promise<T> {
  const scratch = await files.scratchPath(name);
  try {
    return await make(scratch);
  } catch (thrown) {
    await rm(scratch, { force: true });
    throw thrown;
  }
}

/** Commits a small file of tensors that are in memory; durable when it resolves. @throws as JobFiles.commit */
export function stageSafetensors(
  files: JobFiles,
  name: string,
  tensors: readonly TensorToWrite[],
  metadata?: Readonly<Record<string, string>>,
): Promise<FileRef> {
  return withScratch(files, name, async (scratch) => {
    await writeSafetensorsFile(scratch, tensors, metadata);
    const { sha256, sizeBytes } = await digestFile(scratch);
    return files.commit({ root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 }, scratch);
  });
}
