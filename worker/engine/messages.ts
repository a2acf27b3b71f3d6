/**
 * What agent and engine say to each other over the child process's channel. Control only: hidden states and weights
 * stay in the engine; of tensors, only the statistics (a few hundred kilobytes a sample) cross.
 */
import type { ErrorCode, ErrorDetails } from '../../shared/errors/secateur-error.ts';
import type { LogLevel } from '../../shared/log.ts';
import type { SnapshotFile } from '../../shared/rpc/generated/secateur/v1/SnapshotFile.ts';
import type { Task__Output } from '../../shared/rpc/generated/secateur/v1/Task.ts';
import type { TaskResult } from '../../shared/rpc/generated/secateur/v1/TaskResult.ts';
import type { HeldStates } from './hidden-store.ts';

export interface EngineOptions {
  readonly provider: 'auto' | 'cpu' | 'cuda';
  readonly deviceId: number;
  readonly threads: number;
  readonly coordinator: string;
  readonly storage: 'auto' | 'direct' | 'coordinator';
  readonly cacheDirectory: string;
  /** Whether to measure the machine before saying that it is ready: a worker's first engine does. */
  readonly measure: boolean;
}

/** Zero is "not known". */
export interface MachineFigures {
  readonly storageReadBytesPerSecond: number;
  readonly storageWriteBytesPerSecond: number;
  /** Multiplications and additions a second of a large product, by all threads of the engine: float32; on CUDA 16 bits. */
  readonly computeFlops: number;
  readonly deviceMemoryBytes: number;
}

export interface EngineReady {
  readonly provider: 'cpu' | 'cuda';
  /** Of ONNX Runtime, and on the CPU what else decides how it rounds: `1.30.0+avx2` (instruction-set.ts). */
  readonly engineVersion: string;
  /** Null where it was not asked to measure. */
  readonly figures: MachineFigures | null;
}

export type ToEngine =
  | { readonly type: 'start'; readonly options: EngineOptions }
  | { readonly type: 'run'; readonly task: Task__Output }
  /** The worker is about to leave: a pass stops after the microbatch that it is at. */
  | { readonly type: 'yield' };

export type Outcome = Omit<TaskResult, 'identity' | 'holdings' | 'error'>;

export type FromEngine =
  | ({ readonly type: 'ready' } & EngineReady)
  | { readonly type: 'progress'; readonly done: number; readonly total: number; readonly unit: string }
  | { readonly type: 'statistics'; readonly layer: number; readonly sample: number; readonly float32: Uint8Array }
  | { readonly type: 'snapshot'; readonly snapshot: SnapshotFile }
  | {
      readonly type: 'succeeded';
      readonly outcome: Outcome;
      readonly job: string;
      readonly holdings: readonly HeldStates[];
    }
  | {
      readonly type: 'failed';
      readonly code: ErrorCode;
      readonly message: string;
      readonly retryable: boolean;
      readonly details: ErrorDetails;
      readonly job: string;
      readonly holdings: readonly HeldStates[];
    }
  | { readonly type: 'log'; readonly level: LogLevel; readonly message: string };
