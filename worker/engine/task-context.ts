/** What every task of the engine is given. */
import type { ModelDescription } from '../../shared/models/family.ts';
import type { JobContext__Output } from '../../shared/rpc/generated/secateur/v1/JobContext.ts';
import type { SnapshotFile } from '../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import type { JobFiles } from '../../shared/storage/job-files.ts';
import type { KernelPool } from '../kernels/kernel-pool.ts';
import type { HiddenStore } from './hidden-store.ts';
import type { FileRange } from './read-ahead.ts';
import type { RunSize } from './run-size.ts';

export interface TaskContext {
  readonly job: JobContext__Output;
  readonly model: ModelDescription;
  readonly files: JobFiles;
  readonly hidden: HiddenStore;
  readonly provider: 'cpu' | 'cuda';
  readonly deviceId: number;
  readonly threads: number;
  /** Bytes that are likely to be needed soon; nothing is waited for. */
  readonly readAhead: (ranges: readonly FileRange[]) => void;
  /** What the device turned out to have memory for; the engine's, so of all tasks of its job. */
  readonly runSizes: { readonly layer: RunSize; readonly head: RunSize };
  readonly kernels: () => Promise<KernelPool>;
  readonly progress: (done: number, total: number, unit: string) => void;
  /** A sentence for the job's log. */
  readonly notice: (message: string) => void;
  readonly statistics: (layer: number, sample: number, float32: Uint8Array) => void;
  readonly snapshotWritten: (snapshot: SnapshotFile) => void;
  /** Whether the task is to stop at the next place where nothing is half done: the worker is about to leave. */
  readonly isYielding: () => boolean;
}
