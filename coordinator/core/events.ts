/**
 * What happens to the coordinator (CoreEvent) and what it then has done (Command).
 *
 * The journal holds CoreEvents with the time at which the loop took them: replaying them gives the state again.
 * Commands are carried out only after their event is durable; each may be carried out again after a restart.
 * What the coordinator itself brings back says of which `life` of the job it is (lifeOf): a job that was stopped and
 * resumed meanwhile takes nothing from the life before.
 */
import type { JobEvent } from '../../shared/events/job-event.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import type { MicrobatchSet } from '../../shared/microbatch-set.ts';
import type {
  AssembledShard,
  Calibration,
  CoordinatorState,
  HiddenStates,
  JobFailure,
  JobIntake,
  LeaseIdentity,
  OutputErrors,
  PrunedTensor,
  ReusedCopies,
  StagedFile,
  WorkerCapabilities,
} from './state.ts';
import type { TaskSpec } from './task.ts';

export type TaskIdentity = LeaseIdentity;

export interface Holding extends HiddenStates {
  readonly job: string;
}

export interface WrittenSnapshot {
  readonly boundary: number;
  readonly microbatch: number;
  readonly file: StagedFile;
}

/** What a pass took, as its worker measured it. */
interface PassSpending {
  readonly computeMs: number;
  /** Until the layer could run. */
  readonly loadMs: number;
  /** Hidden states read from files, and written to them. */
  readonly snapshotMs: number;
  /** Of the layer and of snapshots. */
  readonly bytesRead: number;
  /** The most memory that the engine has had so far. */
  readonly peakResidentBytes: number;
}

export type TaskOutcome =
  | { readonly kind: 'prepareCalibration'; readonly calibration: Omit<Calibration, 'atMs'> }
  | { readonly kind: 'digestSource'; readonly sha256: string }
  | {
      readonly kind: 'prepareEvaluation';
      readonly ids: StagedFile;
      readonly inputDigest: string;
      readonly windows: number;
      readonly sequenceLength: number;
    }
  | {
      readonly kind: 'evaluate';
      /** None where the worker was asked to leave. */
      readonly done: MicrobatchSet;
      /** Of each window of `done`, in their order: Σ -log p(token) over its tokens behind the first. */
      readonly nll: readonly number[];
      /** Through layers. */
      readonly tokens: number;
      readonly computeMs: number;
    }
  | {
      readonly kind: 'pass';
      readonly tokens: number;
      readonly spent: PassSpending;
      /** Fewer than the task's where the worker was asked to stop. */
      readonly done: MicrobatchSet;
      readonly snapshots: readonly WrittenSnapshot[];
      /** Statistics of the samples of `done`, as stored by the coordinator; null when the pass had none. */
      readonly statistics: StagedFile | null;
      /** Products of the samples of `done`; absent where the pass had none. */
      readonly hessian?: StagedFile;
    }
  | {
      readonly kind: 'measureError';
      readonly done: MicrobatchSet;
      /** One for each sample of `done`. */
      readonly samples: readonly OutputErrors[];
      readonly computeMs: number;
    }
  | {
      readonly kind: 'countOutliers';
      readonly outliers: number;
      readonly weights: number;
      readonly computeMs: number;
    }
  | { readonly kind: 'handOver'; readonly snapshots: readonly WrittenSnapshot[] }
  | {
      readonly kind: 'prune';
      readonly file: StagedFile;
      readonly tensors: readonly PrunedTensor[];
      readonly pruneMs: number;
      readonly commitMs: number;
      readonly dampingRaises?: readonly DampingRaise[];
    };

/** Fractions of the mean of a Hessian's diagonal: what was added to it when its factorization failed, and then. */
interface DampingRaise {
  readonly linears: readonly string[];
  readonly from: number;
  readonly to: number;
}

export interface TaskFailure extends JobFailure {
  readonly retryable: boolean;
}

export interface EffectFailure extends JobFailure {
  /** Absent in older journals: there a failed effect ended the job. */
  readonly retryable?: boolean;
}

export type CoreEvent =
  | { readonly type: 'coordinatorStarted' }
  | { readonly type: 'tick' }
  | {
      readonly type: 'jobSubmitted';
      readonly job: string;
      readonly namespace: string;
      readonly name: string;
      readonly manifest: Manifest;
      /** The job whose work it may take over. */
      readonly reuse?: string;
      /** Later jobs may take over its work. */
      readonly isReusable?: true;
      /** Hessians too. */
      readonly keepsHessians?: true;
    }
  | {
      readonly type: 'intakeSucceeded';
      readonly job: string;
      readonly life: number;
      readonly intake: JobIntake;
      /** Of what the job may take over. */
      readonly copies?: ReusedCopies;
    }
  | {
      readonly type: 'effectFailed';
      readonly job: string;
      readonly life: number;
      /** As effectName says it. */
      readonly effect: string;
      readonly failure: EffectFailure;
    }
  | {
      readonly type: 'workerAttached';
      readonly worker: string;
      readonly incarnation: string;
      readonly capabilities: WorkerCapabilities;
      readonly tasks: readonly TaskIdentity[];
      readonly holdings: readonly Holding[];
    }
  | {
      readonly type: 'workerDetached';
      readonly worker: string;
      readonly incarnation: string;
      readonly leaving: boolean;
    }
  | { readonly type: 'workerDraining'; readonly worker: string }
  | {
      readonly type: 'holdingsChanged';
      readonly worker: string;
      readonly job: string;
      readonly holdings: readonly HiddenStates[];
      readonly why: string;
    }
  | {
      readonly type: 'engineSilence';
      readonly worker: string;
      readonly identity: TaskIdentity;
      /** Since the engine last said something; 0: it has spoken again. */
      readonly silentMs: number;
      /** After so long the agent ends it. */
      readonly silentMaxMs: number;
    }
  | {
      readonly type: 'snapshotWritten';
      readonly worker: string;
      readonly identity: TaskIdentity;
      readonly snapshot: WrittenSnapshot;
    }
  | {
      readonly type: 'taskSucceeded';
      readonly worker: string;
      readonly identity: TaskIdentity;
      readonly outcome: TaskOutcome;
      readonly holdings: readonly HiddenStates[];
    }
  | {
      readonly type: 'taskFailed';
      readonly worker: string;
      readonly identity: TaskIdentity;
      readonly failure: TaskFailure;
      /** Null: not known to have changed (the coordinator itself could not keep the result, say). */
      readonly holdings: readonly HiddenStates[] | null;
    }
  /** Nothing of a task has come from its worker for so long; 0: it gets on again. Measured by the coordinator's own clock. */
  | { readonly type: 'taskQuiet'; readonly worker: string; readonly identity: TaskIdentity; readonly quietMs: number }
  | {
      readonly type: 'statisticsReduced';
      readonly job: string;
      readonly life: number;
      readonly layer: number;
      readonly file: StagedFile;
    }
  | { readonly type: 'statisticsLost'; readonly job: string; readonly life: number; readonly layer: number }
  | {
      readonly type: 'shardAssembled';
      readonly job: string;
      readonly life: number;
      readonly shard: number;
      readonly file: AssembledShard;
    }
  | {
      readonly type: 'checkpointPublished';
      readonly job: string;
      readonly life: number;
      readonly files: readonly AssembledShard[];
      /** Layers whose sums were unreadable, so that they are not among what was published. Absent where there are none. */
      readonly statisticsMissing?: readonly number[];
    }
  | {
      /** A file under staging that the job counts on, and that is gone or not what was written. */
      readonly type: 'fileLost';
      readonly job: string;
      readonly life: number;
      readonly name: string;
      readonly why: string;
    }
  | { readonly type: 'cancelRequested'; readonly job: string }
  | { readonly type: 'resumeRequested'; readonly job: string };

export type EventOf<T extends CoreEvent['type']> = Extract<CoreEvent, { type: T }>;

export type Command =
  | { readonly kind: 'intake'; readonly job: string }
  | { readonly kind: 'assign'; readonly worker: string; readonly identity: TaskIdentity; readonly spec: TaskSpec }
  | { readonly kind: 'abort'; readonly worker: string; readonly identity: TaskIdentity }
  | { readonly kind: 'releaseJob'; readonly worker: string; readonly job: string }
  | { readonly kind: 'dismiss'; readonly worker: string }
  /** Staged files that nobody will ask for again. */
  | { readonly kind: 'removeStaged'; readonly job: string; readonly names: readonly string[] }
  /** What a job kept for later ones: all of it, or only what is large. */
  | { readonly kind: 'dropKept'; readonly job: string; readonly only?: 'hessians' }
  | { readonly kind: 'reduceStatistics'; readonly job: string; readonly layer: number }
  | { readonly kind: 'assembleShard'; readonly job: string; readonly shard: number }
  | { readonly kind: 'publishCheckpoint'; readonly job: string };

export interface StepResult {
  /** The same object as before when nothing changed: such an event is not journaled. */
  readonly state: CoordinatorState;
  readonly commands: readonly Command[];
  readonly events: readonly JobEvent[];
}
