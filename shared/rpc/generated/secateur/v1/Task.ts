// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';
import type { JobContext as _secateur_v1_JobContext, JobContext__Output as _secateur_v1_JobContext__Output } from '../../secateur/v1/JobContext.ts';
import type { PrepareCalibrationTask as _secateur_v1_PrepareCalibrationTask, PrepareCalibrationTask__Output as _secateur_v1_PrepareCalibrationTask__Output } from '../../secateur/v1/PrepareCalibrationTask.ts';
import type { DigestSourceTask as _secateur_v1_DigestSourceTask, DigestSourceTask__Output as _secateur_v1_DigestSourceTask__Output } from '../../secateur/v1/DigestSourceTask.ts';
import type { PassTask as _secateur_v1_PassTask, PassTask__Output as _secateur_v1_PassTask__Output } from '../../secateur/v1/PassTask.ts';
import type { PruneTask as _secateur_v1_PruneTask, PruneTask__Output as _secateur_v1_PruneTask__Output } from '../../secateur/v1/PruneTask.ts';
import type { HandOverTask as _secateur_v1_HandOverTask, HandOverTask__Output as _secateur_v1_HandOverTask__Output } from '../../secateur/v1/HandOverTask.ts';
import type { PrepareEvaluationTask as _secateur_v1_PrepareEvaluationTask, PrepareEvaluationTask__Output as _secateur_v1_PrepareEvaluationTask__Output } from '../../secateur/v1/PrepareEvaluationTask.ts';
import type { EvaluateTask as _secateur_v1_EvaluateTask, EvaluateTask__Output as _secateur_v1_EvaluateTask__Output } from '../../secateur/v1/EvaluateTask.ts';
import type { MeasureErrorTask as _secateur_v1_MeasureErrorTask, MeasureErrorTask__Output as _secateur_v1_MeasureErrorTask__Output } from '../../secateur/v1/MeasureErrorTask.ts';
import type { CountOutliersTask as _secateur_v1_CountOutliersTask, CountOutliersTask__Output as _secateur_v1_CountOutliersTask__Output } from '../../secateur/v1/CountOutliersTask.ts';

export interface Task {
  'identity'?: (_secateur_v1_TaskIdentity | null);
  'context'?: (_secateur_v1_JobContext | null);
  'prepareCalibration'?: (_secateur_v1_PrepareCalibrationTask | null);
  'digestSource'?: (_secateur_v1_DigestSourceTask | null);
  'pass'?: (_secateur_v1_PassTask | null);
  'prune'?: (_secateur_v1_PruneTask | null);
  'handOver'?: (_secateur_v1_HandOverTask | null);
  'prepareEvaluation'?: (_secateur_v1_PrepareEvaluationTask | null);
  'evaluate'?: (_secateur_v1_EvaluateTask | null);
  'measureError'?: (_secateur_v1_MeasureErrorTask | null);
  'countOutliers'?: (_secateur_v1_CountOutliersTask | null);
  'spec'?: "prepareCalibration"|"digestSource"|"pass"|"prune"|"handOver"|"prepareEvaluation"|"evaluate"|"measureError"|"countOutliers";
}

export interface Task__Output {
  'identity': (_secateur_v1_TaskIdentity__Output | null);
  'context': (_secateur_v1_JobContext__Output | null);
  'prepareCalibration'?: (_secateur_v1_PrepareCalibrationTask__Output | null);
  'digestSource'?: (_secateur_v1_DigestSourceTask__Output | null);
  'pass'?: (_secateur_v1_PassTask__Output | null);
  'prune'?: (_secateur_v1_PruneTask__Output | null);
  'handOver'?: (_secateur_v1_HandOverTask__Output | null);
  'prepareEvaluation'?: (_secateur_v1_PrepareEvaluationTask__Output | null);
  'evaluate'?: (_secateur_v1_EvaluateTask__Output | null);
  'measureError'?: (_secateur_v1_MeasureErrorTask__Output | null);
  'countOutliers'?: (_secateur_v1_CountOutliersTask__Output | null);
  'spec'?: "prepareCalibration"|"digestSource"|"pass"|"prune"|"handOver"|"prepareEvaluation"|"evaluate"|"measureError"|"countOutliers";
}
