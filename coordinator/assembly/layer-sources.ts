/**
 * The files that one shard is copied from. A committed layer is held against its digest: while it is copied where the
 * shard takes all of it in its order, so that what is digested is what is copied; else in a read of its own before.
 *
 * Owns the open handles.
 */
import { createHash, type Hash } from 'node:crypto';
import { type FileHandle, open } from 'node:fs/promises';
import { readFully } from '../../shared/checkpoint/source-file.ts';
import { damaged, unreadable, type VerifiedFiles } from '../../shared/storage/verified-files.ts';
import type { StagedFile, TensorSlot } from '../core/state.ts';
import type { HashedFile } from './copy-range.ts';

export interface PlacedTensor extends TensorSlot {
  /** Absolute path of the file that holds it now. */
  readonly path: string;
  /** The committed layer that this file is; null for a file of the source. */
  readonly layer: LayerFile | null;
}

export interface LayerFile extends StagedFile {
  /** Where its header ends and its first tensor begins. */
  readonly dataOffset: number;
}

interface OpenSource {
  readonly tensor: PlacedTensor;
  readonly handle: FileHandle;
  /** Of a layer that is copied whole: of what was copied so far. */
  readonly hash: Hash | null;
}

export class LayerSources {
  private readonly tensors: readonly PlacedTensor[];
  private readonly verified: VerifiedFiles;
  private readonly opened = new Map<string, OpenSource>();

  /** @param tensors in the order in which they will be copied */
  constructor(tensors: readonly PlacedTensor[], verified: VerifiedFiles) {
    this.tensors = tensors;
    this.verified = verified;
  }

  /** @throws as `VerifiedFiles.verify`; SourceChanged where a file of the source ends early */
  async copy(tensor: PlacedTensor, output: HashedFile): Promise<void> {
    const { layer, path, offset, sizeBytes } = tensor;
    const onReadError = (thrown: unknown): unknown => (layer === null ? thrown : unreadable(path, layer, thrown));
    let source = this.opened.get(path);
    if (source === undefined) {
      source = await this.open(tensor).catch((thrown: unknown) => {
        throw onReadError(thrown);
      });
    }
    await output.copyFrom({ ...source, path, onReadError }, offset, sizeBytes);
  }

  /** To be called when every tensor is copied. @throws ChecksumMismatch naming a layer that is not what was committed */
  check(): void {
    for (const { tensor, hash } of this.opened.values()) {
      const { layer, path } = tensor;
      if (layer === null || hash === null) continue;
      const sha256 = hash.digest('hex');
      if (sha256 !== layer.sha256) throw damaged(path, layer, { sizeBytes: layer.sizeBytes, sha256 });
    }
  }

  async close(): Promise<void> {
    for (const { handle } of this.opened.values()) await handle.close();
  }

  private async open(tensor: PlacedTensor): Promise<OpenSource> {
    const { layer, path } = tensor;
    const isWhole = layer !== null && this.isCopiedWhole(layer, path);
    if (layer !== null && !isWhole) await this.verified.verify(path, layer);
    const source = { tensor, handle: await open(path, 'r'), hash: isWhole ? createHash('sha256') : null };
    this.opened.set(path, source);
    if (isWhole) {
      const header = new Uint8Array(layer.dataOffset);
      source.hash?.update(header.subarray(0, await readFully(source.handle, header, 0)));
    }
    return source;
  }

  private isCopiedWhole(layer: LayerFile, path: string): boolean {
    let end = layer.dataOffset;
    for (const { offset, sizeBytes } of this.tensors.filter((tensor) => tensor.path === path)) {
      if (offset !== end) return false;
      end += sizeBytes;
    }
    return end === layer.sizeBytes;
  }
}
