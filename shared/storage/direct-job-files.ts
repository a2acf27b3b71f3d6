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
import { VerifiedFiles } from './verified-files.ts';

export class DirectJobFiles implements JobFiles {
  readonly kind = 'direct';
  private readonly folders: JobFolders;
  private readonly verified = new VerifiedFiles();

  constructor(folders: JobFolders) {
    this.folders = folders;
  }

  /** Commits in place need no name: a rename of equal bytes by an attempt of the past does no harm. */
  setIdentity(): void {}

  release(): void {}

  releaseTensors(): void {}

  async localPath(ref: FileRef): Promise<string> {
    const { path, sizeBytes } = await locateFile(ref, this.folders);
    const { root, name = '', sha256 = '' } = ref;
    if (root === 'FILE_ROOT_STAGING' && sha256 !== '') await this.verified.verify(path, { name, sizeBytes, sha256 });
    return path;
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
    // Whoever commits a file has digested it: its first reader, often this engine, need not.
    const committed = await locateFile(ref, this.folders);
    await this.verified.vouch(committed.path, sha256);
    return { root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 };
  }
}
