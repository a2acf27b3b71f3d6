/** A job's files in place, on a file system that the coordinator and this worker share. Nothing is copied. */
import { stat } from 'node:fs/promises';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { TensorRef } from '../rpc/generated/secateur/v1/TensorRef.ts';
import { checkStagedRef, type JobFolders, locateFile, refLabel } from './file-ref.ts';
import type { JobFiles } from './job-files.ts';
import { commitStagingFile, temporaryStagingPath } from './staging-file.ts';
import { checkTensorRef } from './tensor-ref.ts';

export class DirectJobFiles implements JobFiles {
  readonly kind = 'direct';
  private readonly folders: JobFolders;

  constructor(folders: JobFolders) {
    this.folders = folders;
  }

  /** Commits in place need no name: a rename of equal bytes by an attempt of the past does no harm. */
  setIdentity(): void {}

  release(): void {}

  releaseTensors(): void {}

  async localPath(ref: FileRef): Promise<string> {
    return (await locateFile(ref, this.folders)).path;
  }

  async fetchTensors(refs: readonly TensorRef[]): Promise<Map<string, TensorLocation>> {
    const paths = new Map<string, string>();
    const located = new Map<string, TensorLocation>();
    for (const ref of refs) {
      const { file, ...tensor } = checkTensorRef(ref);
      const label = refLabel(file);
      const path = paths.get(label) ?? (await this.localPath(file));
      paths.set(label, path);
      located.set(tensor.name, { ...tensor, file: path });
    }
    return located;
  }

  async sourceDirectory(): Promise<string> {
    return this.folders.sourceDirectory;
  }

  scratchPath(name: string): Promise<string> {
    return temporaryStagingPath(this.folders.stagingDirectory, name);
  }

  async commit(ref: FileRef, scratch: string): Promise<FileRef> {
    const { name, sizeBytes, sha256 } = checkStagedRef(ref);
    const found = await stat(scratch).catch((thrown: unknown) => {
      throw toSecateurError(thrown);
    });
    if (found.size !== sizeBytes) {
      throw new SecateurError(
        'ChecksumMismatch',
        `${scratch}: expected ${sizeBytes} bytes for ${refLabel(ref)}; found ${found.size}`,
        { retryable: true, details: { file: refLabel(ref), expected: sizeBytes, found: found.size } },
      );
    }
    await commitStagingFile(scratch, this.folders.stagingDirectory, name);
    return { root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 };
  }
}
