/**
 * A job's files through the coordinator, for a worker that does not see them: what is needed is downloaded into a cache,
 * what is made is uploaded. Files with a digest are fetched whole, checked, and used for as long as they fit; of
 * source shards only the ranges of the asked tensors are fetched, and laid out as one local safetensors file.
 *
 * Invariant: what the running task was given stays pinned until it is released, or until the next task begins.
 */
import { createHash } from 'node:crypto';
import { type FileHandle, mkdir, open, rename, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import type { TensorLocation } from '../checkpoint/tensor-location.ts';
import { invariant, SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { TaskIdentity } from '../rpc/generated/secateur/v1/TaskIdentity.ts';
import type { TensorRef } from '../rpc/generated/secateur/v1/TensorRef.ts';
import { layoutSafetensors, type SafetensorsLayout } from '../safetensors/layout.ts';
import { type ArtifactPeer, readArtifact, writeArtifact } from './artifact-transfer.ts';
import { FileCache, type Grow } from './file-cache.ts';
import { checkFileName, checkStagedRef, refLabel } from './file-ref.ts';
import type { JobFiles } from './job-files.ts';
import { type CheckedTensorRef, checkTensorRef } from './tensor-ref.ts';
import { VerifiedFiles } from './verified-files.ts';
import { writeFully } from './write-fully.ts';

export interface CoordinatorJobFilesOptions {
  readonly peer: ArtifactPeer;
  /** Nobody else's: emptied when it is opened. */
  readonly cacheDirectory: string;
  readonly cacheSizeBytesMax: number;
}

export class CoordinatorJobFiles implements JobFiles {
  readonly kind = 'coordinator';
  private readonly peer: ArtifactPeer;
  private readonly cache: FileCache;
  /** Small files of the source under their own names (tokenizer, configuration); not bounded, never removed. */
  private readonly sourceCopies: string;
  private readonly pins: string[] = [];
  private readonly verified = new VerifiedFiles();
  private identity: TaskIdentity | null = null;

  private constructor(peer: ArtifactPeer, cache: FileCache, sourceCopies: string) {
    this.peer = peer;
    this.cache = cache;
    this.sourceCopies = sourceCopies;
  }

  static async open(options: CoordinatorJobFilesOptions): Promise<CoordinatorJobFiles> {
    const { peer, cacheDirectory, cacheSizeBytesMax } = options;
    const cache = await FileCache.open(join(cacheDirectory, 'files'), cacheSizeBytesMax);
    const sourceCopies = join(cacheDirectory, 'source');
    await rm(sourceCopies, { recursive: true, force: true });
    await mkdir(sourceCopies, { recursive: true });
    return new CoordinatorJobFiles(peer, cache, sourceCopies);
  }

  setIdentity(identity: TaskIdentity | null): void {
    this.identity = identity;
    for (const key of this.pins.splice(0)) this.cache.unpin(key);
  }

  async localPath(ref: FileRef): Promise<string> {
    const key = keyOf(ref);
    for (;;) {
      let isNew = false;
      const path = await this.cache.obtain(key, (temporary, grow) => {
        isNew = true;
        return this.download(ref, temporary, grow);
      });
      this.pins.push(key);
      // Digested on its way.
      if (isNew) await this.verified.vouch(path, ref.sha256 ?? '');
      if (isNew || (await this.isAsCached(path, ref))) return path;
      this.release(ref);
      await this.cache.discard(key);
    }
  }

  /** A copy rots like any other file: one that has is fetched again. */
  private async isAsCached(path: string, { name = '', sizeBytes = 0, sha256 = '' }: FileRef): Promise<boolean> {
    if (sha256 === '') return true;
    try {
      await this.verified.verify(path, { name, sizeBytes, sha256 });
      return true;
    } catch (thrown) {
      if (toSecateurError(thrown).details.staged === undefined) throw thrown;
      return false;
    }
  }

  release(ref: FileRef): void {
    this.unpin(keyOf(ref));
  }

  releaseTensors(refs: readonly TensorRef[]): void {
    const checked = refs.map(checkTensorRef);
    const inPack = checked.filter((ref) => !isWhole(ref));
    if (inPack.length > 0) this.unpin(packKey(inPack));
    for (const { file } of checked.filter(isWhole)) this.unpin(keyOf(file));
  }

  private unpin(key: string): void {
    const position = this.pins.indexOf(key);
    if (position < 0) return;
    this.pins.splice(position, 1);
    this.cache.unpin(key);
  }

  async fetchTensors(refs: readonly TensorRef[]): Promise<Map<string, TensorLocation>> {
    const checked = refs.map(checkTensorRef);
    const packed = await this.pack(checked.filter((ref) => !isWhole(ref)));
    const located = new Map<string, TensorLocation>();
    for (const ref of checked) {
      const { file, ...tensor } = ref;
      const inPack = packed.get(ref.name);
      located.set(ref.name, inPack ?? { ...tensor, file: await this.localPath(file) });
    }
    return located;
  }

  async sourceDirectory(names: readonly string[]): Promise<string> {
    for (const name of names) {
      const ref: FileRef = { root: 'FILE_ROOT_SOURCE', name };
      const temporary = this.cache.temporaryPath();
      try {
        await this.download(ref, temporary, async () => undefined);
        await rename(temporary, join(this.sourceCopies, basename(checkFileName(name))));
      } catch (thrown) {
        await rm(temporary, { force: true });
        // What the source lacks, its copy lacks: whoever reads the directory knows what it cannot do without.
        if (!(thrown instanceof SecateurError) || thrown.code !== 'SourceMissing') throw thrown;
      }
    }
    return this.sourceCopies;
  }

  async scratchPath(name: string): Promise<string> {
    checkFileName(name);
    return this.cache.temporaryPath();
  }

  /** The file stays in the cache: whoever prunes a layer often runs it next. */
  async commit(ref: FileRef, scratch: string): Promise<FileRef> {
    const { name, sizeBytes, sha256 } = checkStagedRef(ref);
    const file = { root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 } as const;
    invariant(this.identity !== null, 'a commit is made in the name of a task');
    await writeArtifact(this.peer, this.identity, file, scratch);
    await this.cache.adopt(keyOf(file), scratch, sizeBytes);
    return file;
  }

  /** @throws ChecksumMismatch where size or digest are given and are not what came */
  private async download(ref: FileRef, temporary: string, grow: Grow): Promise<void> {
    const { sizeBytes = 0, sha256 = '' } = ref;
    const digest = createHash('sha256');
    if (sizeBytes > 0) await grow(sizeBytes);
    await createFile(temporary, async (handle) => {
      let position = 0;
      const asked = { offset: 0, length: sizeBytes === 0 ? null : sizeBytes };
      await readArtifact(this.peer, ref, asked, async (data) => {
        if (sizeBytes === 0) await grow(data.length);
        if (sha256 !== '') digest.update(data);
        await writeFully(handle, data, position);
        position += data.length;
      });
    });
    if (sha256 === '') return;
    const found = digest.digest('hex');
    if (found === sha256) return;
    throw new SecateurError(
      'ChecksumMismatch',
      `${refLabel(ref)}: expected SHA-256 ${sha256}; what came has ${found}`,
      {
        retryable: true,
        details: {
          file: refLabel(ref),
          ...(ref.root === 'FILE_ROOT_STAGING' ? { staged: ref.name ?? '' } : {}),
          expected: sha256,
          found,
        },
      },
    );
  }

  /** The ranges of these tensors, and nothing else of their files, as one local file. */
  private async pack(refs: readonly CheckedTensorRef[]): Promise<Map<string, TensorLocation>> {
    const located = new Map<string, TensorLocation>();
    if (refs.length === 0) return located;
    const layout = layoutSafetensors(refs);
    invariant(layout.tensors.size === refs.length, 'tensors asked for together have different names');
    const key = packKey(refs);
    const path = await this.cache.obtain(key, (temporary, grow) => this.fillPack(refs, layout, temporary, grow));
    this.pins.push(key);
    for (const { name, dtype, shape, sizeBytes } of refs) {
      located.set(name, { name, dtype, shape, sizeBytes, file: path, offset: offsetIn(layout, name) });
    }
    return located;
  }

  private async fillPack(
    refs: readonly CheckedTensorRef[],
    layout: SafetensorsLayout,
    temporary: string,
    grow: Grow,
  ): Promise<void> {
    await grow(layout.fileSizeBytes);
    await createFile(temporary, async (handle) => {
      await writeFully(handle, layout.headerBytes, 0);
      for (const { name, file, offset, sizeBytes } of refs) {
        let position = offsetIn(layout, name);
        await readArtifact(this.peer, file, { offset, length: sizeBytes }, async (data) => {
          await writeFully(handle, data, position);
          position += data.length;
        });
      }
    });
  }
}

/** Files with a digest are fetched whole, of others only the ranges of the tensors. */
function isWhole(ref: CheckedTensorRef): boolean {
  return (ref.file.sha256 ?? '') !== '';
}

/** Not fsynced: a cache is not what must survive. */
async function createFile(path: string, write: (handle: FileHandle) => Promise<void>): Promise<void> {
  const handle = await open(path, 'wx');
  try {
    await write(handle);
  } finally {
    await handle.close();
  }
}

function offsetIn(layout: SafetensorsLayout, tensor: string): number {
  const place = layout.tensors.get(tensor);
  invariant(place !== undefined, `${tensor} is laid out`);
  return place.offset;
}

/** Another size or digest under the same name is another file. */
function keyOf(ref: FileRef): string {
  const { sizeBytes = 0, sha256 = '' } = ref;
  return `${refLabel(ref)}:${sizeBytes}:${sha256}`;
}

function packKey(refs: readonly CheckedTensorRef[]): string {
  const parts = refs.map(({ name, dtype, shape, file, offset }) => [name, dtype, shape, keyOf(file), offset]);
  return `tensors:${createHash('sha256').update(JSON.stringify(parts)).digest('hex')}`;
}
