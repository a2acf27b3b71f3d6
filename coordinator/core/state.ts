/**
 * What the coordinator knows: plain data, a pure function of the journal.
 *
 * Invariants, kept by step.ts and checked by the tests:
 *  1. A job's `eventSequence` grows by one with every event it tells; nothing else touches it.
 *  2. A lease exists for a task exactly while one worker may be running it; a worker has at most one lease.
 *  3. A layer that is `committed` never becomes anything else.
 *  4. Only the first job of `queue` that has not ended holds leases.
 */

import type { ErrorCode, ErrorDetails } from '../../shared/errors/secateur-error.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import type { ModelDescription } from '../../shared/models/family.ts';
import type { Dtype } from '../../shared/safetensors/dtype.ts';
import type { TaskSpec } from './task.ts';

export interface CoordinatorState {
  readonly epoch: number;
  readonly workers: { readonly [worker: string]: WorkerState };
  readonly jobs: { readonly [job: string]: JobState };
  /** Every job, in the order of submission. */
  readonly queue: readonly string[];
}

export interface WorkerCapabilities {
  readonly host: string;
  readonly processId: number;
  readonly provider: 'cpu' | 'cuda';
  readonly threads: number;
  readonly memoryBytes: number;
  readonly version: string;
  readonly engineVersion: string;
  /** As it measured them when it started; zero where it could not tell (worker/engine/measure-machine.ts). */
  readonly storageReadBytesPerSecond: number;
  readonly storageWriteBytesPerSecond: number;
  /** Multiplications and additions a second of a large float32 product, by all of its threads. */
  readonly computeFlops: number;
  readonly deviceMemoryBytes: number;
}

export interface WorkerState {
  readonly id: string;
  /** New for every process of that worker. */
  readonly incarnation: string;
  readonly capabilities: WorkerCapabilities;
  readonly attached: boolean;
  /** Takes no new task. */
  readonly draining: boolean;
  /** When `attached` last changed. */
  readonly sinceMs: number;
}

export type JobPhase =
  | 'Queued'
  | 'Intake'
  | 'Planning'
  | 'Preparing'
  | 'Pruning'
  | 'Assembling'
  | 'Succeeded'
  | 'Failed'
  | 'Cancelled';

export interface JobFailure {
  readonly code: ErrorCode;
  readonly message: string;
  readonly details: ErrorDetails;
}

/** A tensor of the source, by the basename of its shard. */
export interface TensorSlot {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly file: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

export interface LinearIntake {
  readonly tensor: string;
  readonly statistic: string;
  readonly outFeatures: number;
  readonly inFeatures: number;
  readonly choice: LinearChoice;
}

export interface LayerIntake {
  readonly linears: readonly LinearIntake[];
  /** Every tensor of the layer, linears and others, in the order in which its committed file holds them. */
  readonly tensors: readonly TensorSlot[];
}

export interface FileIntake {
  readonly file: string;
  readonly sizeBytes: number;
  /** Of the last change, as the file system says. */
  readonly mtimeMs: number;
}

/** What reading the inputs found: everything that the plan and the tasks need, and no tensor. */
export interface JobIntake {
  readonly sourceDirectory: string;
  readonly outputDirectory: string;
  readonly model: ModelDescription;
  readonly shards: readonly FileIntake[];
  readonly auxiliaryFiles: readonly FileIntake[];
  readonly calibrationFiles: readonly FileIntake[];
  /** Of given token ids; null where the calibration data is text. */
  readonly givenTokens: { readonly samples: number; readonly sequenceLength: number } | null;
  readonly layers: readonly LayerIntake[];
  /** Tensors outside the decoder layers, in the order of the source. */
  readonly outside: readonly TensorSlot[];
  readonly embedding: TensorSlot;
  readonly warnings: readonly string[];
}

export interface StagePlan {
  readonly firstLayer: number;
  readonly layerCount: number;
}

export interface OutputShardPlan {
  readonly file: string;
  readonly tensors: readonly string[];
  readonly sizeBytes: number;
}

/** What the cost model says that a run without losses takes. */
export interface Prediction {
  readonly totalMs: number;
  /** Added up over the workers, as the four below. */
  readonly computeMs: number;
  readonly loadMs: number;
  readonly pruneMs: number;
  readonly snapshotMs: number;
  /** By workers and coordinator, from the source to the published output. */
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Of the worker that needs the most. */
  readonly workerMemoryBytes: number;
}

export interface Plan {
  readonly stages: readonly StagePlan[];
  /** Workers that share a stage's microbatches, of those that were there when the job was planned. */
  readonly replicas: number;
  /** As the manifest has it; null: every worker that comes. */
  readonly replicasMax: number | null;
  /** Microbatches that a dense pipeline of several stages passes on together; null where there is none. */
  readonly wave: number | null;
  /** Layers between two snapshots of the hidden states. */
  readonly snapshotInterval: number;
  /** Samples in one forward run. */
  readonly microbatch: number;
  /** Null until the calibration data has been read (given token ids bring their own). */
  readonly samples: number | null;
  readonly sequenceLength: number | null;
  readonly outputShards: readonly OutputShardPlan[];
  /** Null until it is known how much calibration data there is. */
  readonly prediction: Prediction | null;
}

export interface Calibration {
  /** SHA-256 of the files that were read, in the order of the manifest. */
  readonly inputDigests: readonly string[];
  readonly samples: number;
  readonly sequenceLength: number;
  readonly sha256: string;
  readonly sizeBytes: number;
}

export interface StagedFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface StageState extends StagePlan {
  /** The worker that holds, or is to hold, this stage's hidden states. */
  worker: string | null;
  /** The worker that ran this stage's passes last: the next stage goes to another where there is one. */
  servedBy: string | null;
  /** The layer boundary at which that worker holds every sample; null when it holds none. */
  boundary: number | null;
  /** Hidden states at the stage's end, for the next stage; null until written, [] for the last stage. */
  snapshot: readonly StagedFile[] | null;
}

export interface PrunedTensor {
  readonly name: string;
  readonly elements: number;
  readonly zeros: number;
  readonly pruned: boolean;
}

export interface LayerState {
  /**
   * pending: its statistics are not complete. reducing: the coordinator adds them up. ready: it can be pruned.
   * committed: its file is durable.
   */
  status: 'pending' | 'reducing' | 'ready' | 'committed';
  /** Statistics of its samples as a worker sent them. */
  samplesFile: StagedFile | null;
  /** The sums over all samples. */
  statisticsFile: StagedFile | null;
  file: StagedFile | null;
  tensors: readonly PrunedTensor[];
  committedMs: number;
  worker: string | null;
  pruneMs: number;
  /** Its fsync, digest and rename. */
  commitMs: number;
}

/** Which attempt of which task, as every message about it says. */
export interface LeaseIdentity {
  readonly job: string;
  readonly task: string;
  readonly attempt: number;
  readonly epoch: number;
}

export interface Lease {
  readonly task: string;
  readonly attempt: number;
  readonly epoch: number;
  readonly worker: string;
  readonly spec: TaskSpec;
  readonly leasedMs: number;
}

export interface RetryState {
  failures: number;
  lost: number;
  notBeforeMs: number;
  /** Where it failed last: another worker is tried first. */
  worker: string | null;
}

export interface AssembledShard {
  readonly file: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

export interface JobState {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly manifest: Manifest;
  readonly submittedMs: number;
  phase: JobPhase;
  reason: string;
  message: string;
  sinceMs: number;
  startedMs: number | null;
  endedMs: number | null;
  eventSequence: number;
  /** The phase that a failed or cancelled job goes back to. */
  resumePhase: JobPhase | null;
  intake: JobIntake | null;
  plan: Plan | null;
  calibration: Calibration | null;
  stages: StageState[];
  layers: LayerState[];
  digests: { [shard: string]: string };
  leases: { [task: string]: Lease };
  attempts: { [task: string]: number };
  retries: { [task: string]: RetryState };
  assembled: AssembledShard[];
  /** Who was given tasks, and what it ran them with. */
  workersSeen: { [worker: string]: WorkerCapabilities };
  /** Tokens through layers in finished passes, and what all passes of an undisturbed run make. */
  workDone: number;
  workTotal: number;
  /** Of all finished passes, whatever came of them: added up over the workers. */
  computeMs: number;
  resumes: number;
  failure: JobFailure | null;
}

export const INITIAL_STATE: CoordinatorState = { epoch: 0, workers: {}, jobs: {}, queue: [] };

export function hasEnded(job: JobState): boolean {
  return job.phase === 'Succeeded' || job.phase === 'Failed' || job.phase === 'Cancelled';
}

/** The job that may use the workers now: the first in the queue that has not ended. */
export function activeJob(state: CoordinatorState): JobState | undefined {
  for (const id of state.queue) {
    const job = state.jobs[id];
    if (job !== undefined && !hasEnded(job)) return job;
  }
  return undefined;
}

/** Ids come from outside: "constructor" must be an unknown job, not something that every object has. */
export function jobOf(state: CoordinatorState, job: string): JobState | undefined {
  return Object.hasOwn(state.jobs, job) ? state.jobs[job] : undefined;
}

export function workerOf(state: CoordinatorState, worker: string): WorkerState | undefined {
  return Object.hasOwn(state.workers, worker) ? state.workers[worker] : undefined;
}

/** A task's lease, whoever has it. */
export function leaseOf(job: JobState | undefined, task: string): Lease | undefined {
  return job !== undefined && Object.hasOwn(job.leases, task) ? job.leases[task] : undefined;
}

/** The lease that a message is about; undefined for another attempt's or epoch's, of an ended job, and where there is none. */
export function currentLease(state: CoordinatorState, identity: LeaseIdentity): Lease | undefined {
  const job = jobOf(state, identity.job);
  if (job === undefined || hasEnded(job)) return undefined;
  const lease = leaseOf(job, identity.task);
  return lease?.attempt === identity.attempt && lease.epoch === identity.epoch ? lease : undefined;
}

/** A stage runs one pass at a time: its hidden states are at one boundary. */
export function isPassLeased(job: JobState, stage: number): boolean {
  return Object.values(job.leases).some((lease) => lease.spec.kind === 'pass' && lease.spec.stage === stage);
}

/** Weights and zeros of the tensors that were pruned; what was only copied does not count. */
export function countPruned(tensors: readonly PrunedTensor[]): { tensors: number; weights: number; zeros: number } {
  const pruned = tensors.filter((tensor) => tensor.pruned);
  return {
    tensors: pruned.length,
    weights: pruned.reduce((sum, tensor) => sum + tensor.elements, 0),
    zeros: pruned.reduce((sum, tensor) => sum + tensor.zeros, 0),
  };
}
