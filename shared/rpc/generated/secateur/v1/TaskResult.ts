// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';
import type { Holding as _secateur_v1_Holding, Holding__Output as _secateur_v1_Holding__Output } from '../../secateur/v1/Holding.ts';
import type { TaskError as _secateur_v1_TaskError, TaskError__Output as _secateur_v1_TaskError__Output } from '../../secateur/v1/TaskError.ts';
import type { PrepareCalibrationResult as _secateur_v1_PrepareCalibrationResult, PrepareCalibrationResult__Output as _secateur_v1_PrepareCalibrationResult__Output } from '../../secateur/v1/PrepareCalibrationResult.ts';
import type { DigestSourceResult as _secateur_v1_DigestSourceResult, DigestSourceResult__Output as _secateur_v1_DigestSourceResult__Output } from '../../secateur/v1/DigestSourceResult.ts';
import type { PassResult as _secateur_v1_PassResult, PassResult__Output as _secateur_v1_PassResult__Output } from '../../secateur/v1/PassResult.ts';
import type { PruneResult as _secateur_v1_PruneResult, PruneResult__Output as _secateur_v1_PruneResult__Output } from '../../secateur/v1/PruneResult.ts';
import type { HandOverResult as _secateur_v1_HandOverResult, HandOverResult__Output as _secateur_v1_HandOverResult__Output } from '../../secateur/v1/HandOverResult.ts';
import type { PrepareEvaluationResult as _secateur_v1_PrepareEvaluationResult, PrepareEvaluationResult__Output as _secateur_v1_PrepareEvaluationResult__Output } from '../../secateur/v1/PrepareEvaluationResult.ts';
import type { EvaluateResult as _secateur_v1_EvaluateResult, EvaluateResult__Output as _secateur_v1_EvaluateResult__Output } from '../../secateur/v1/EvaluateResult.ts';
import type { MeasureErrorResult as _secateur_v1_MeasureErrorResult, MeasureErrorResult__Output as _secateur_v1_MeasureErrorResult__Output } from '../../secateur/v1/MeasureErrorResult.ts';
import type { CountOutliersResult as _secateur_v1_CountOutliersResult, CountOutliersResult__Output as _secateur_v1_CountOutliersResult__Output } from '../../secateur/v1/CountOutliersResult.ts';

export interface TaskResult {
  'identity'?: (_secateur_v1_TaskIdentity | null);
  /**
   * Everything of this job that the engine holds now.
   */
  'holdings'?: (_secateur_v1_Holding)[];
  'error'?: (_secateur_v1_TaskError | null);
  'prepareCalibration'?: (_secateur_v1_PrepareCalibrationResult | null);
  'digestSource'?: (_secateur_v1_DigestSourceResult | null);
  'pass'?: (_secateur_v1_PassResult | null);
  'prune'?: (_secateur_v1_PruneResult | null);
  'handOver'?: (_secateur_v1_HandOverResult | null);
  'prepareEvaluation'?: (_secateur_v1_PrepareEvaluationResult | null);
  'evaluate'?: (_secateur_v1_EvaluateResult | null);
  'measureError'?: (_secateur_v1_MeasureErrorResult | null);
  'countOutliers'?: (_secateur_v1_CountOutliersResult | null);
  'outcome'?: "error"|"prepareCalibration"|"digestSource"|"pass"|"prune"|"handOver"|"prepareEvaluation"|"evaluate"|"measureError"|"countOutliers";
}

export interface TaskResult__Output {
  'identity': (_secateur_v1_TaskIdentity__Output | null);
  /**
   * Everything of this job that the engine holds now.
   */
  'holdings': (_secateur_v1_Holding__Output)[];
  'error'?: (_secateur_v1_TaskError__Output | null);
  'prepareCalibration'?: (_secateur_v1_PrepareCalibrationResult__Output | null);
  'digestSource'?: (_secateur_v1_DigestSourceResult__Output | null);
  'pass'?: (_secateur_v1_PassResult__Output | null);
  'prune'?: (_secateur_v1_PruneResult__Output | null);
  'handOver'?: (_secateur_v1_HandOverResult__Output | null);
  'prepareEvaluation'?: (_secateur_v1_PrepareEvaluationResult__Output | null);
  'evaluate'?: (_secateur_v1_EvaluateResult__Output | null);
  'measureError'?: (_secateur_v1_MeasureErrorResult__Output | null);
  'countOutliers'?: (_secateur_v1_CountOutliersResult__Output | null);
  'outcome'?: "error"|"prepareCalibration"|"digestSource"|"pass"|"prune"|"handOver"|"prepareEvaluation"|"evaluate"|"measureError"|"countOutliers";
}
