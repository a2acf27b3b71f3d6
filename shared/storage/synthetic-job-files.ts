/**
 * The files of a job whose model is synthetic: a file of the source is made when a task names a tensor of it, and goes
 * when a task no longer needs it. All other files are those of the job (direct-job-files.ts, coordinator-job-files.ts).
 *
 * Invariants:
 *  1. A file that the running task has fetched tensors of, and has not released, is there.
 *  2. Beside those, at most one is: the last task's, since the next one of this worker often reads the same layer.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { TaskIdentity } from '../rpc/generated/secateur/v1/TaskIdentity.ts';
import type { TensorRef } from '../rpc/generated/secateur/v1/TensorRef.ts';
import { isFloatDtype } from '../safetensors/dtype.ts';
import { syntheticCheckpoint, syntheticTensor } from '../synthetic/synthetic-checkpoint.ts';
import { parseSyntheticModel } from '../synthetic/synthetic-location.ts';
import { refLabel } from './file-ref.ts';
import type { JobFiles } from './job-files.ts';
import { checkTensorRef } from './tensor-ref.ts';
import { writeFully } from './write-fully.ts';

/** Two buffers of this size: while one is written the other is filled. */
const CHUNK_SIZE_BYTES = 4 * 1024 * 1024;
const SOURCE = 'FILE_ROOT_SOURCE';

interface MadeFile {
  readonly path: string;
  isNeeded: boolean;
}

export class SyntheticJobFiles implements JobFiles {
  readonly kind: JobFiles['kind'];
  private readonly files: JobFiles;
  private readonly location: string;
  private readonly directory: string;
  /** Of the whole model, by name. */
  private readonly tensors: ReadonlyMap<string, TensorLocation>;
  private readonly made = new Map<string, MadeFile>();

  private constructor(files: JobFiles, location: string, directory: string) {
    this.files = files;
    this.kind = files.kind;
    this.location = location;
    this.directory = directory;
    this.tensors = syntheticCheckpoint(location).tensors;
  }

  /**
   * @param files for all that is not of the source
   * @param directory nobody else's; whatever is there goes
   */
  static async open(files: JobFiles, location: string, directory: string): Promise<SyntheticJobFiles> {
    await rm(directory, { recursive: true, force: true });
    await mkdir(directory, { recursive: true });
    return new SyntheticJobFiles(files, location, directory);
  }

  setIdentity(identity: TaskIdentity | null): void {
    for (const file of this.made.values()) file.isNeeded = false;
    this.files.setIdentity(identity);
  }

  async localPath(ref: FileRef): Promise<string> {
    if (ref.root === SOURCE) throw this.noSuchFile(refLabel(ref));
    return this.files.localPath(ref);
  }

  release(ref: FileRef): void {
    this.files.release(ref);
  }

  async fetchTensors(refs: readonly TensorRef[]): Promise<Map<string, TensorLocation>> {
    const others = refs.filter((ref) => ref.file?.root !== SOURCE);
    const fetched = others.length === 0 ? new Map<string, TensorLocation>() : await this.files.fetchTensors(others);
    const located = new Map<string, TensorLocation>();
    for (const ref of refs) {
      const { name } = checkTensorRef(ref);
      located.set(name, fetched.get(name) ?? (await this.fetchTensor(ref)));
    }
    return located;
  }

  releaseTensors(refs: readonly TensorRef[]): void {
    this.files.releaseTensors(refs.filter((ref) => ref.file?.root !== SOURCE));
    for (const ref of refs) {
      const made = ref.file?.root === SOURCE ? this.made.get(ref.file.name ?? '') : undefined;
      if (made !== undefined) made.isNeeded = false;
    }
  }

  /** A synthetic model has a configuration, and no file of it: nobody asks for one, but for a tokenizer in vain. */
  async sourceDirectory(): Promise<string> {
    return this.directory;
  }

  scratchPath(name: string): Promise<string> {
    return this.files.scratchPath(name);
  }

  commit(ref: FileRef, scratch: string): Promise<FileRef> {
    return this.files.commit(ref, scratch);
  }

  private async fetchTensor(ref: TensorRef): Promise<TensorLocation> {
    const { name, file, offset, sizeBytes, dtype } = checkTensorRef(ref);
    const known = this.tensors.get(name);
    if (known === undefined || known.file !== file.name) throw this.noSuchFile(`${refLabel(file)}, tensor ${name}`);
    if (known.offset !== offset || known.sizeBytes !== sizeBytes || known.dtype !== dtype)
      throw this.noSuchFile(`${refLabel(file)}, tensor ${name} of ${dtype}, ${sizeBytes} bytes at ${offset}`);
    return { ...known, file: await this.makeFile(known.file) };
  }

  private async makeFile(name: string): Promise<string> {
    const known = this.made.get(name);
    if (known !== undefined) {
      known.isNeeded = true;
      return known.path;
    }
    await this.removeNeedless();
    // A name of its own each time: a session that maps an earlier file keeps that one, whole.
    const path = join(this.directory, `${name}-${randomBytes(4).toString('hex')}`);
    try {
      await writeTensors(
        path,
        [...this.tensors.values()].filter(({ file }) => file === name),
        this.location,
      );
    } catch (thrown) {
      await rm(path, { force: true });
      throw toSecateurError(thrown);
    }
    this.made.set(name, { path, isNeeded: true });
    return path;
  }

  private async removeNeedless(): Promise<void> {
    for (const [name, { path, isNeeded }] of this.made) {
      if (isNeeded) continue;
      this.made.delete(name);
      await rm(path, { force: true });
    }
  }

  private noSuchFile(what: string): SecateurError {
    return new SecateurError('ArgumentInvalid', `${this.location} has no ${what}`, {
      details: { source: this.location },
    });
  }
}

/** One behind the other, as they are placed. @throws StorageFull, StorageFailed */
async function writeTensors(path: string, tensors: readonly TensorLocation[], location: string): Promise<void> {
  const model = parseSyntheticModel(location);
  const handle = await open(path, 'wx');
  try {
    let [filled, spare] = [new Uint8Array(CHUNK_SIZE_BYTES), new Uint8Array(CHUNK_SIZE_BYTES)];
    let written = Promise.resolve();
    for (const tensor of tensors) {
      const { name, dtype, shape, offset, sizeBytes } = tensor;
      if (!isFloatDtype(dtype)) throw new SecateurError('Internal', `${name}: a synthetic tensor of ${dtype}`);
      const weights = syntheticTensor(model, { name, dtype, shape });
      for (let done = 0; done < sizeBytes; done += filled.length) {
        const chunk = filled.subarray(0, Math.min(filled.length, sizeBytes - done));
        weights.fill(chunk, done);
        await written;
        written = writeFully(handle, chunk, offset + done, path);
        // Awaited at the next chunk; where that never comes, below.
        written.catch(() => undefined);
        [filled, spare] = [spare, filled];
      }
    }
    await written;
  } finally {
    await handle.close();
  }
}
