/**
 * What the coordinator knows: plain data, a pure function of the journal.
 *
 * Invariants, kept by step.ts and checked by the tests:
 *  1. A job's `eventSequence` grows by one with every event it tells; nothing else touches it.
 *  2. A lease exists for a task exactly while one worker may be running it; a worker has at most one lease.
 *  3. A layer that is `committed` becomes something else only when its file was found gone or damaged (losses.ts); then
 *     `lostSha256` says what its next file must be.
 *  4. Only the first job of `queue` that has not ended holds leases.
 *  5. Within a stage no microbatch belongs to two shares.
 *  6. `held` is what a worker itself said last, `snapshots` what was said to be durable: neither is ever assumed.
 */

import type { ErrorCode, ErrorDetails } from '../../shared/errors/secateur-error.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { LinearChoice } from '../../shared/manifest/select-linears.ts';
import type { MicrobatchSet } from '../../shared/microbatch-set.ts';
import type { ModelDescription } from '../../shared/models/family.ts';
import type { Dtype } from '../../shared/safetensors/dtype.ts';
import type { TaskSpec } from './task.ts';

export interface CoordinatorState {
  readonly epoch: number;
  readonly workers: { readonly [worker: string]: WorkerState };
  readonly jobs: { readonly [job: string]: JobState };
  /** Every job, in the order of their turns: of submission, or of resumption. */
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
  /** Takes no new work: it hands over what it holds, then leaves. */
  readonly draining: boolean;
  /** It was told that nothing is left for it to hand over. */
  readonly dismissed: boolean;
  /** When `attached` last changed. */
  readonly sinceMs: number;
}

export type JobPhase =
  | 'Queued'
  | 'Intake'
  | 'Planning'
  | 'Preparing'
  | 'Pruning'
  | 'Evaluating'
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
  /** Of the last change of anything about it: nobody can set it back. Absent in older journals. */
  readonly ctimeMs?: number;
  /** Known from the beginning for small files (configuration, tokenizer). */
  readonly sha256?: string;
  /** When `sha256` was known, where the job found it later. */
  readonly digestedMs?: number;
}

/** What reading the inputs found: everything that the plan and the tasks need, and no tensor. */
export interface JobIntake {
  readonly sourceDirectory: string;
  readonly outputDirectory: string;
  readonly model: ModelDescription;
  readonly shards: readonly FileIntake[];
  readonly auxiliaryFiles: readonly FileIntake[];
  readonly calibrationFiles: readonly FileIntake[];
  readonly evaluationFiles: readonly FileIntake[];
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

/** A prediction's fields as they were measured. */
export interface Measurement extends Prediction {
  /** Tokens through layers, computed once more because they were lost: no prediction has any. */
  readonly tokensRedone: number;
  /** Perplexity and output errors, added up over the workers: no prediction has any. */
  readonly evaluateMs: number;
}

export interface Plan {
  readonly stages: readonly StagePlan[];
  /** Workers that a stage is expected to have. */
  readonly replicas: number;
  /** Workers that a stage may have; null: as many as there are. */
  readonly replicasMax: number | null;
  /** Microbatches that go through a stage together where stages pipeline; null: all that a worker has. */
  readonly wave: number | null;
  /** Hidden states are written to files at every boundary that this divides. */
  readonly snapshotInterval: number;
  /** Samples in one forward run. */
  readonly microbatch: number;
  /** Of the smallest device that it was planned for; null where there is none, or nobody knows. Jobs of earlier versions have none. */
  readonly deviceMemoryBytes?: number | null;
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
  readonly file: StagedFile;
  /** When it was known. */
  readonly atMs: number;
  /** Its file was found gone or damaged: the same one is to be made again before anybody reads it. Absent otherwise. */
  readonly isLost?: boolean;
}

/** A text that perplexity is measured on, cut into windows. */
export interface EvaluatedText {
  /** Token ids [windows, sequenceLength]. */
  readonly ids: StagedFile;
  /** SHA-256 of the file that was read, and when it was known. */
  readonly inputDigest: string;
  readonly atMs: number;
  readonly windows: number;
  readonly sequenceLength: number;
  /** Of each window that is measured, with the source's weights and with the committed layers: Σ -log p(token). */
  readonly likelihoods: { readonly [weights in 'source' | 'committed']: { readonly [window: string]: number } };
}

/** What pruning changed in the output of each linear, layer after layer: squares summed over one sample's tokens. */
export interface OutputErrors {
  /** Σ (W x - W' x)² */
  readonly error: readonly number[];
  /** Σ (W x)² */
  readonly output: readonly number[];
}

export interface StagedFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** A contiguous range of layers. Its replicas, the workers of `shares`, split its microbatches among them. */
export interface StageState extends StagePlan {
  /**
   * Who is to compute which microbatches; what nobody has yet, or nobody needs any more, is in no share. An empty share
   * is of a worker that has done what it had, and is the first to get more.
   */
  shares: { readonly [worker: string]: MicrobatchSet };
}

/** Hidden states at one layer boundary. */
export interface HiddenStates {
  readonly boundary: number;
  readonly microbatches: MicrobatchSet;
}

/** Hidden states as files, by microbatch. */
export interface Snapshot extends HiddenStates {
  readonly files: { readonly [microbatch: string]: StagedFile };
}

/** SHA-256 of a source file, and when it was known: it says nothing about what the file was before it was read. */
interface SourceDigest {
  readonly sha256: string;
  readonly atMs: number;
}

export interface PrunedTensor {
  readonly name: string;
  readonly elements: number;
  readonly zeros: number;
  readonly pruned: boolean;
}

/** Statistics of some microbatches' samples, as one task brought them. */
export interface StatisticsPart {
  readonly microbatches: MicrobatchSet;
  readonly file: StagedFile;
  readonly worker: string;
  readonly tokens: number;
  readonly computeMs: number;
}

/** Products of the input columns of some microbatches' samples (hessians.ts). */
export interface HessianPart {
  readonly microbatches: MicrobatchSet;
  readonly file: StagedFile;
}

interface OutlierCount {
  readonly outliers: number;
  readonly weights: number;
  readonly computeMs: number;
}

/** What of a layer goes, where the manifest has that decided layer by layer (budgets.ts). */
export interface LayerBudget {
  readonly outlierRatio: number;
  readonly sparsity: number;
  /** By tensor: `sparsity`, rounded to whole weights of a row where rows are pruned one by one. */
  readonly sparsities: { readonly [tensor: string]: number };
}

export interface LayerState {
  /**
   * pending: its statistics are not complete. reducing: the coordinator adds them up. surveying: its outliers are to be
   * counted. surveyed: those of other layers are. correlating: its Hessians are not complete (methods that need them).
   * ready: it can be pruned. committed: its file is durable.
   */
  status: 'pending' | 'reducing' | 'surveying' | 'surveyed' | 'correlating' | 'ready' | 'committed';
  /** Among the weights that the layer's budget is for. Absent where it has none, or before they are counted. */
  outliers?: OutlierCount;
  /** Statistics that are there so far. */
  parts: readonly StatisticsPart[];
  /** Hessians that are there so far; they go with the commit, but for those that a later job wants. Absent where none has come. */
  hessians?: readonly HessianPart[];
  /** The sums over all samples. */
  statisticsFile: StagedFile | null;
  /** Of a committed layer. */
  file: StagedFile | null;
  /** Its file was committed, and removed since nobody needs it (discard.ts). Absent otherwise. */
  isDiscarded?: boolean;
  /** Of the file that a layer had when it was found gone or damaged. Absent where none ever was. */
  lostSha256?: string;
  tensors: readonly PrunedTensor[];
  committedMs: number;
  worker: string | null;
  pruneMs: number;
  /** Microbatches whose next hidden states were computed at least once: the rest of such passes is work done again. */
  forwarded: MicrobatchSet;
  /** Its fsync, digest and rename. */
  commitMs: number;
}

/** Which lease of which task, as every message about it says. `attempt` numbers the leases of the job. */
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
  /** The engine that runs it says nothing: since when, and when its agent ends it. Absent while it speaks. */
  readonly silence?: { readonly sinceMs: number; readonly endsMs: number };
  /** Its worker lives, and has got no further with it since then. Absent where it gets on. */
  readonly quietSinceMs?: number;
}

/**
 * What went wrong with tasks of one kind at one layer, or with an effect of the coordinator. Counted by microbatch, since
 * the same microbatches come in other tasks the next time: `failed[n]` are those that failed more than n times. A task
 * without microbatches, and an effect, count as one.
 */
export interface RetryState {
  failed: readonly MicrobatchSet[];
  lost: readonly MicrobatchSet[];
  /** Of the next attempt. For an effect of the coordinator 0 while one is under way: it is asked for once. */
  notBeforeMs: number;
  /** Where it failed last. Absent where it has not. */
  worker?: string;
  /** Its last failure. */
  why?: string;
}

/** A stretch of a worker's time (timeline.ts). */
export interface Span {
  readonly kind:
    | 'prepare'
    | 'digest'
    | 'calibrate'
    | 'forward'
    | 'survey'
    | 'prune'
    | 'evaluate'
    | 'handOver'
    | 'several';
  /** The first and the last layer; absent for what is at none. */
  readonly layers?: readonly [number, number];
  readonly fromMs: number;
  readonly toMs: number;
  /** With a task, between the first and the last moment. */
  readonly busyMs: number;
  /** Of it, as the worker measured it: computing, and reading, loading or writing. Absent: nothing. */
  readonly computeMs?: number;
  readonly ioMs?: number;
  readonly tasks: number;
  /** Of the tasks: those that failed, were lost with their worker, were stopped with the job. Absent: none. */
  readonly failed?: number;
  readonly lost?: number;
  readonly stopped?: number;
}

export interface AssembledShard {
  readonly file: string;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Copies of what an earlier job kept, under the names that they have for this one. */
export interface ReusedCopies {
  readonly calibration: StagedFile;
  /** Windows of each text. */
  readonly texts: readonly StagedFile[];
  /** Of each layer; null: there are none, or they are of no use. */
  readonly sums: readonly (StagedFile | null)[];
  /** Of each layer; null: there are none. Absent where nobody wants any. */
  readonly hessians?: readonly (readonly HessianPart[] | null)[];
}

/** The earlier job whose work a job may take over. */
interface JobReuse {
  readonly job: string;
  /** Null until the inputs are read, and where there was nothing to copy. */
  readonly copies: ReusedCopies | null;
  /** open: until the job is planned. */
  readonly status: 'open' | 'taken' | 'refused';
}

/** All parts of one layer, and the statistics whose products are in them. */
export interface KeptHessians {
  readonly statistics: readonly string[];
  readonly parts: readonly HessianPart[];
}

/** What a job that has succeeded keeps for later ones (reuse.ts). */
export interface KeptWork {
  readonly atMs: number;
  readonly inputs: Pick<
    JobIntake,
    'sourceDirectory' | 'model' | 'shards' | 'auxiliaryFiles' | 'calibrationFiles' | 'evaluationFiles' | 'givenTokens'
  >;
  readonly digests: JobState['digests'];
  /** With the likelihoods of the source's weights. */
  readonly evaluation: readonly EvaluatedText[];
  /** Of each layer: the sums of its statistics, in the job's state folder. */
  readonly sums: readonly (StagedFile | null)[];
  /** Of each layer. Absent where none are kept. */
  readonly hessians?: readonly (KeptHessians | null)[];
}

/** What a job's tasks took so far: what a prediction is held against. */
export interface Spending {
  /** By passes. */
  readonly computeMs: number;
  /** By what measures the result: perplexity, output errors. */
  readonly evaluateMs: number;
  readonly loadMs: number;
  readonly snapshotMs: number;
  /** Of layers and snapshots, by passes. */
  readonly bytesRead: number;
  /** Of snapshots. */
  readonly bytesWritten: number;
  /** The most memory that an engine has had. */
  readonly workerMemoryBytes: number;
}

export const NOTHING_SPENT: Spending = {
  computeMs: 0,
  evaluateMs: 0,
  loadMs: 0,
  snapshotMs: 0,
  bytesRead: 0,
  bytesWritten: 0,
  workerMemoryBytes: 0,
};

export interface JobState {
  readonly id: string;
  readonly namespace: string;
  readonly name: string;
  readonly manifest: Manifest;
  readonly submittedMs: number;
  /** Absent: it takes nothing over. */
  reuse?: JobReuse;
  /** Whether later jobs may take over its work, and what it keeps for them. */
  readonly isReusable?: boolean;
  /** Hessians too: until they are given up for want of room. */
  keepsHessians?: boolean;
  kept?: KeptWork;
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
  /** By text, in the order of the manifest; null until it is cut into windows. */
  evaluation: (EvaluatedText | null)[];
  /** Of each calibration sample that is measured. */
  outputErrors: { readonly [sample: string]: OutputErrors };
  stages: StageState[];
  layers: LayerState[];
  /** Of each layer, null where nothing of it has one. Absent before all layers are surveyed, and without `layerwise`. */
  budgets?: readonly (LayerBudget | null)[];
  held: { [worker: string]: readonly HiddenStates[] };
  /** By boundary, the lowest first. */
  snapshots: readonly Snapshot[];
  /** Tokens through a layer per second, as measured in the passes of each worker. */
  rates: { readonly [worker: string]: number };
  digests: { [shard: string]: SourceDigest };
  leases: { [task: string]: Lease };
  leaseCount: number;
  retries: { [kind: string]: RetryState };
  /** Workers on which a task failed, and until when others are preferred to them. */
  shunnedUntilMs: { [worker: string]: number };
  assembled: AssembledShard[];
  /** Who was given tasks, and what it ran them with. */
  workersSeen: { readonly [worker: string]: WorkerCapabilities };
  /** What each of them did, in the order of time. Absent in older journals. */
  timeline?: { readonly [worker: string]: readonly Span[] };
  /** Of the workers that compute this job: others would round otherwise. Null before its first task. */
  versions: Pick<WorkerCapabilities, 'version' | 'engineVersion' | 'provider'> | null;
  /** Tokens through layers: what has been computed of what an undisturbed run computes, and what was computed again. */
  workDone: number;
  workTotal: number;
  workRedone: number;
  /** By all finished tasks, whatever came of them: added up over the workers. */
  spent: Spending;
  resumes: number;
  /** Of a job that has succeeded. */
  measurement: Measurement | null;
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

/** Grows with every resumption. */
export function lifeOf(job: JobState): number {
  return job.resumes;
}

/** Names come from outside: "constructor" must be unknown, not something that every object has. */
export function own<Value>(record: { readonly [key: string]: Value }, key: string): Value | undefined {
  return Object.hasOwn(record, key) ? record[key] : undefined;
}

export function jobOf(state: CoordinatorState, job: string): JobState | undefined {
  return own(state.jobs, job);
}

export function workerOf(state: CoordinatorState, worker: string): WorkerState | undefined {
  return own(state.workers, worker);
}

export function shareOf(stage: StageState, worker: string): MicrobatchSet {
  return own(stage.shares, worker) ?? [];
}

/** A copy without one entry. */
export function without<Value>(record: { readonly [key: string]: Value }, key: string): { [key: string]: Value } {
  const { [key]: _removed, ...rest } = record;
  return rest;
}

/** A task's lease, whoever has it. */
export function leaseOf(job: JobState | undefined, task: string): Lease | undefined {
  return job === undefined ? undefined : own(job.leases, task);
}

/** The lease that a message is about; undefined for another attempt's or epoch's, of an ended job, and where there is none. */
export function currentLease(state: CoordinatorState, identity: LeaseIdentity): Lease | undefined {
  const job = jobOf(state, identity.job);
  if (job === undefined || hasEnded(job)) return undefined;
  const lease = leaseOf(job, identity.task);
  return lease?.attempt === identity.attempt && lease.epoch === identity.epoch ? lease : undefined;
}

export function endOf(stage: StagePlan): number {
  return stage.firstLayer + stage.layerCount;
}

/** Floats of one sample's statistics: linears that read the same input share them. */
export function statisticsWidth({ linears }: LayerIntake): number {
  const widths = new Map(linears.map((linear) => [linear.statistic, linear.inFeatures]));
  return [...widths.values()].reduce((sum, width) => sum + width, 0);
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
