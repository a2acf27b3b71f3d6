// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';
import type { Holding as _secateur_v1_Holding, Holding__Output as _secateur_v1_Holding__Output } from '../../secateur/v1/Holding.ts';

export interface Register {
  /**
   * Chosen by the worker, stable over reconnects: two workers must not share it.
   */
  'worker'?: (string);
  /**
   * New for every process: tells a restart from a reconnect.
   */
  'incarnation'?: (string);
  'version'?: (string);
  'host'?: (string);
  'processId'?: (number);
  /**
   * "cpu" or "cuda", as probed with a real session.
   */
  'provider'?: (string);
  'threads'?: (number);
  'memoryBytes'?: (number);
  /**
   * Tasks running, or finished and not acknowledged.
   */
  'tasks'?: (_secateur_v1_TaskIdentity)[];
  'holdings'?: (_secateur_v1_Holding)[];
  /**
   * Of onnxruntime-node; on the CPU with the instruction set that it takes its kernels for: 1.30.0+avx2.
   */
  'engineVersion'?: (string);
  /**
   * The newest epoch that this worker has seen, and whose it was: a coordinator that finds a later one of its own is stale.
   */
  'lastEpoch'?: (number);
  'lastCoordinatorId'?: (string);
  /**
   * Measured when the worker started; 0 where it could not tell.
   */
  'storageReadBytesPerSecond'?: (number);
  'storageWriteBytesPerSecond'?: (number);
  /**
   * Multiplications and additions a second of a large product: float32; on CUDA 16 bits.
   */
  'computeFlops'?: (number);
  'deviceMemoryBytes'?: (number);
}

export interface Register__Output {
  /**
   * Chosen by the worker, stable over reconnects: two workers must not share it.
   */
  'worker': (string);
  /**
   * New for every process: tells a restart from a reconnect.
   */
  'incarnation': (string);
  'version': (string);
  'host': (string);
  'processId': (number);
  /**
   * "cpu" or "cuda", as probed with a real session.
   */
  'provider': (string);
  'threads': (number);
  'memoryBytes': (number);
  /**
   * Tasks running, or finished and not acknowledged.
   */
  'tasks': (_secateur_v1_TaskIdentity__Output)[];
  'holdings': (_secateur_v1_Holding__Output)[];
  /**
   * Of onnxruntime-node; on the CPU with the instruction set that it takes its kernels for: 1.30.0+avx2.
   */
  'engineVersion': (string);
  /**
   * The newest epoch that this worker has seen, and whose it was: a coordinator that finds a later one of its own is stale.
   */
  'lastEpoch': (number);
  'lastCoordinatorId': (string);
  /**
   * Measured when the worker started; 0 where it could not tell.
   */
  'storageReadBytesPerSecond': (number);
  'storageWriteBytesPerSecond': (number);
  /**
   * Multiplications and additions a second of a large product: float32; on CUDA 16 bits.
   */
  'computeFlops': (number);
  'deviceMemoryBytes': (number);
}
