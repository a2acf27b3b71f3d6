/**
 * Where the statistics of a pass go while they come in: into a file, row by row, so that neither many samples nor many
 * workers take memory.
 */
import { type FileHandle, mkdir, open, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { digestFile } from '../../shared/checkpoint/source-digest.ts';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { writeFully } from '../../shared/storage/write-fully.ts';
import type { TaskIdentity } from '../core/events.ts';
import type { StagedFile } from '../core/state.ts';
import { samplesFileName } from './job-paths.ts';

/** The statistics of one lease, [samples of the task, D] float32. */
export interface StatisticsSink {
  /** `row`: which sample of the task, from 0. The same row may come again. What cannot be written, `finish` tells. */
  add(row: number, float32: Uint8Array): Promise<void>;
  /**
   * Durable when it resolves; null where any of the first `rows` rows has not come.
   *
   * @throws StorageFull, StorageFailed
   */
  finish(rows: number): Promise<StagedFile | null>;
  /** The lease came to nothing. */
  discard(): Promise<void>;
}

/** Of a lease whose worker sent what cannot be its statistics: `finish` says so, whatever else comes. */
export function refusedStatistics(reason: SecateurError): StatisticsSink {
  return {
    add: async () => undefined,
    finish: () => Promise.reject(reason),
    discard: async () => undefined,
  };
}

export interface StatisticsStore {
  begin(identity: TaskIdentity, layer: number): StatisticsSink;
}

/** In files of the job's folder in the state directory. */
export function fileStatistics(stateFolderOf: (job: string) => string): StatisticsStore {
  let count = 0;
  return {
    begin: (identity, layer) => {
      count += 1;
      return new FileSink(stateFolderOf(identity.job), samplesFileName(layer, identity, count));
    },
  };
}

class FileSink implements StatisticsSink {
  private readonly folder: string;
  private readonly name: string;
  private readonly rows = new Set<number>();
  private handle: FileHandle | null = null;
  private rowBytes = 0;
  private failure: SecateurError | null = null;
  private isClosed = false;

  constructor(folder: string, name: string) {
    this.folder = folder;
    this.name = name;
  }

  async add(row: number, float32: Uint8Array): Promise<void> {
    if (this.failure !== null || this.isClosed) return;
    try {
      this.handle ??= await this.create();
      // Discarded while the file was being made.
      if (this.isClosed) return await this.discard();
      this.rowBytes = float32.byteLength;
      await writeFully(this.handle, float32, row * this.rowBytes);
      this.rows.add(row);
    } catch (thrown) {
      this.failure = this.storageError(thrown);
    }
  }

  async finish(rows: number): Promise<StagedFile | null> {
    const isComplete = Array.from({ length: rows }, (_, row) => row).every((row) => this.rows.has(row));
    let isStored = false;
    try {
      if (this.failure !== null) throw this.failure;
      if (!isComplete || this.handle === null) return null;
      const stored = await this.store(this.handle, rows);
      isStored = true;
      return stored;
    } catch (thrown) {
      throw thrown === this.failure ? thrown : this.storageError(thrown);
    } finally {
      if (!isStored) await this.discard();
    }
  }

  private async store(handle: FileHandle, rows: number): Promise<StagedFile> {
    const file = join(this.folder, this.name);
    try {
      await handle.truncate(rows * this.rowBytes);
      reach('coordinator.samples-unsynced');
      await handle.sync();
    } finally {
      await handle.close();
      this.handle = null;
    }
    await fsyncDirectory(dirname(file));
    reach('coordinator.samples-stored');
    return { name: this.name, ...(await digestFile(file)) };
  }

  async discard(): Promise<void> {
    this.isClosed = true;
    const handle = this.handle;
    this.handle = null;
    await handle?.close();
    this.rows.clear();
    // Where it could not be made, there is nothing to remove.
    await rm(join(this.folder, this.name), { force: true }).catch(() => undefined);
  }

  /** System errors name no file, and not what it is for: this one does. */
  private storageError(thrown: unknown): SecateurError {
    const cause = toSecateurError(thrown);
    const code = cause.code === 'StorageFull' ? 'StorageFull' : 'StorageFailed';
    return new SecateurError(
      code,
      `${join(this.folder, this.name)}: the statistics of a pass cannot be written: ${cause.message}. Make room for them, or mend that folder, on the coordinator's machine, then resume the job.`,
      { cause, retryable: true, details: { ...cause.details, folder: this.folder } },
    );
  }

  private async create(): Promise<FileHandle> {
    const file = join(this.folder, this.name);
    await mkdir(dirname(file), { recursive: true });
    return open(file, 'w');
  }
}
