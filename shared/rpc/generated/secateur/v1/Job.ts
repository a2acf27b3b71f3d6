// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type { Progress as _secateur_v1_Progress, Progress__Output as _secateur_v1_Progress__Output } from '../../secateur/v1/Progress.ts';
import type { JobFailure as _secateur_v1_JobFailure, JobFailure__Output as _secateur_v1_JobFailure__Output } from '../../secateur/v1/JobFailure.ts';
import type { StageStatus as _secateur_v1_StageStatus, StageStatus__Output as _secateur_v1_StageStatus__Output } from '../../secateur/v1/StageStatus.ts';

export interface Job {
  'id'?: (string);
  'namespace'?: (string);
  'name'?: (string);
  /**
   * Queued, Intake, Planning, Preparing, Pruning, Assembling, Succeeded, Failed, Cancelled.
   */
  'phase'?: (string);
  /**
   * CamelCase, why the job is where it is.
   */
  'reason'?: (string);
  /**
   * What is needed, what is there, in words.
   */
  'message'?: (string);
  'sinceMs'?: (number);
  'submittedMs'?: (number);
  /**
   * 0 until the job has ended.
   */
  'endedMs'?: (number);
  'destination'?: (string);
  'manifestJson'?: (string);
  /**
   * Empty until planned.
   */
  'planJson'?: (string);
  'progress'?: (_secateur_v1_Progress | null);
  'failure'?: (_secateur_v1_JobFailure | null);
  'lastSequence'?: (number);
  'stages'?: (_secateur_v1_StageStatus)[];
  /**
   * Of a job that has succeeded: what it took, in the words of plan_json's prediction.
   */
  'measurementJson'?: (string);
}

export interface Job__Output {
  'id': (string);
  'namespace': (string);
  'name': (string);
  /**
   * Queued, Intake, Planning, Preparing, Pruning, Assembling, Succeeded, Failed, Cancelled.
   */
  'phase': (string);
  /**
   * CamelCase, why the job is where it is.
   */
  'reason': (string);
  /**
   * What is needed, what is there, in words.
   */
  'message': (string);
  'sinceMs': (number);
  'submittedMs': (number);
  /**
   * 0 until the job has ended.
   */
  'endedMs': (number);
  'destination': (string);
  'manifestJson': (string);
  /**
   * Empty until planned.
   */
  'planJson': (string);
  'progress': (_secateur_v1_Progress__Output | null);
  'failure': (_secateur_v1_JobFailure__Output | null);
  'lastSequence': (number);
  'stages': (_secateur_v1_StageStatus__Output)[];
  /**
   * Of a job that has succeeded: what it took, in the words of plan_json's prediction.
   */
  'measurementJson': (string);
}
