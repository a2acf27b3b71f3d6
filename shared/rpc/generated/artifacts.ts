// Generated from protos/ by `npm run build:proto`; do not edit.

import type * as grpc from '@grpc/grpc-js';
import type { EnumTypeDefinition, MessageTypeDefinition } from '@grpc/proto-loader';

import type { ArtifactChunk as _secateur_v1_ArtifactChunk, ArtifactChunk__Output as _secateur_v1_ArtifactChunk__Output } from './secateur/v1/ArtifactChunk.ts';
import type { ArtifactsClient as _secateur_v1_ArtifactsClient, ArtifactsDefinition as _secateur_v1_ArtifactsDefinition } from './secateur/v1/Artifacts.ts';
import type { CountOutliersResult as _secateur_v1_CountOutliersResult, CountOutliersResult__Output as _secateur_v1_CountOutliersResult__Output } from './secateur/v1/CountOutliersResult.ts';
import type { CountOutliersTask as _secateur_v1_CountOutliersTask, CountOutliersTask__Output as _secateur_v1_CountOutliersTask__Output } from './secateur/v1/CountOutliersTask.ts';
import type { DampingRaise as _secateur_v1_DampingRaise, DampingRaise__Output as _secateur_v1_DampingRaise__Output } from './secateur/v1/DampingRaise.ts';
import type { DigestSourceResult as _secateur_v1_DigestSourceResult, DigestSourceResult__Output as _secateur_v1_DigestSourceResult__Output } from './secateur/v1/DigestSourceResult.ts';
import type { DigestSourceTask as _secateur_v1_DigestSourceTask, DigestSourceTask__Output as _secateur_v1_DigestSourceTask__Output } from './secateur/v1/DigestSourceTask.ts';
import type { EmbedInput as _secateur_v1_EmbedInput, EmbedInput__Output as _secateur_v1_EmbedInput__Output } from './secateur/v1/EmbedInput.ts';
import type { EvaluateResult as _secateur_v1_EvaluateResult, EvaluateResult__Output as _secateur_v1_EvaluateResult__Output } from './secateur/v1/EvaluateResult.ts';
import type { EvaluateTask as _secateur_v1_EvaluateTask, EvaluateTask__Output as _secateur_v1_EvaluateTask__Output } from './secateur/v1/EvaluateTask.ts';
import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from './secateur/v1/FileRef.ts';
import type { GroupPattern as _secateur_v1_GroupPattern, GroupPattern__Output as _secateur_v1_GroupPattern__Output } from './secateur/v1/GroupPattern.ts';
import type { HandOverResult as _secateur_v1_HandOverResult, HandOverResult__Output as _secateur_v1_HandOverResult__Output } from './secateur/v1/HandOverResult.ts';
import type { HandOverTask as _secateur_v1_HandOverTask, HandOverTask__Output as _secateur_v1_HandOverTask__Output } from './secateur/v1/HandOverTask.ts';
import type { Holding as _secateur_v1_Holding, Holding__Output as _secateur_v1_Holding__Output } from './secateur/v1/Holding.ts';
import type { JobContext as _secateur_v1_JobContext, JobContext__Output as _secateur_v1_JobContext__Output } from './secateur/v1/JobContext.ts';
import type { LayerRef as _secateur_v1_LayerRef, LayerRef__Output as _secateur_v1_LayerRef__Output } from './secateur/v1/LayerRef.ts';
import type { LinearInput as _secateur_v1_LinearInput, LinearInput__Output as _secateur_v1_LinearInput__Output } from './secateur/v1/LinearInput.ts';
import type { LinearSelection as _secateur_v1_LinearSelection, LinearSelection__Output as _secateur_v1_LinearSelection__Output } from './secateur/v1/LinearSelection.ts';
import type { MeasureErrorResult as _secateur_v1_MeasureErrorResult, MeasureErrorResult__Output as _secateur_v1_MeasureErrorResult__Output } from './secateur/v1/MeasureErrorResult.ts';
import type { MeasureErrorTask as _secateur_v1_MeasureErrorTask, MeasureErrorTask__Output as _secateur_v1_MeasureErrorTask__Output } from './secateur/v1/MeasureErrorTask.ts';
import type { MethodOptions as _secateur_v1_MethodOptions, MethodOptions__Output as _secateur_v1_MethodOptions__Output } from './secateur/v1/MethodOptions.ts';
import type { MicrobatchRange as _secateur_v1_MicrobatchRange, MicrobatchRange__Output as _secateur_v1_MicrobatchRange__Output } from './secateur/v1/MicrobatchRange.ts';
import type { PassInput as _secateur_v1_PassInput, PassInput__Output as _secateur_v1_PassInput__Output } from './secateur/v1/PassInput.ts';
import type { PassResult as _secateur_v1_PassResult, PassResult__Output as _secateur_v1_PassResult__Output } from './secateur/v1/PassResult.ts';
import type { PassTask as _secateur_v1_PassTask, PassTask__Output as _secateur_v1_PassTask__Output } from './secateur/v1/PassTask.ts';
import type { PrepareCalibrationResult as _secateur_v1_PrepareCalibrationResult, PrepareCalibrationResult__Output as _secateur_v1_PrepareCalibrationResult__Output } from './secateur/v1/PrepareCalibrationResult.ts';
import type { PrepareCalibrationTask as _secateur_v1_PrepareCalibrationTask, PrepareCalibrationTask__Output as _secateur_v1_PrepareCalibrationTask__Output } from './secateur/v1/PrepareCalibrationTask.ts';
import type { PrepareEvaluationResult as _secateur_v1_PrepareEvaluationResult, PrepareEvaluationResult__Output as _secateur_v1_PrepareEvaluationResult__Output } from './secateur/v1/PrepareEvaluationResult.ts';
import type { PrepareEvaluationTask as _secateur_v1_PrepareEvaluationTask, PrepareEvaluationTask__Output as _secateur_v1_PrepareEvaluationTask__Output } from './secateur/v1/PrepareEvaluationTask.ts';
import type { PruneResult as _secateur_v1_PruneResult, PruneResult__Output as _secateur_v1_PruneResult__Output } from './secateur/v1/PruneResult.ts';
import type { PruneTask as _secateur_v1_PruneTask, PruneTask__Output as _secateur_v1_PruneTask__Output } from './secateur/v1/PruneTask.ts';
import type { PrunedTensor as _secateur_v1_PrunedTensor, PrunedTensor__Output as _secateur_v1_PrunedTensor__Output } from './secateur/v1/PrunedTensor.ts';
import type { ReadArtifactRequest as _secateur_v1_ReadArtifactRequest, ReadArtifactRequest__Output as _secateur_v1_ReadArtifactRequest__Output } from './secateur/v1/ReadArtifactRequest.ts';
import type { SnapshotFile as _secateur_v1_SnapshotFile, SnapshotFile__Output as _secateur_v1_SnapshotFile__Output } from './secateur/v1/SnapshotFile.ts';
import type { SnapshotInput as _secateur_v1_SnapshotInput, SnapshotInput__Output as _secateur_v1_SnapshotInput__Output } from './secateur/v1/SnapshotInput.ts';
import type { StatisticSum as _secateur_v1_StatisticSum, StatisticSum__Output as _secateur_v1_StatisticSum__Output } from './secateur/v1/StatisticSum.ts';
import type { Task as _secateur_v1_Task, Task__Output as _secateur_v1_Task__Output } from './secateur/v1/Task.ts';
import type { TaskError as _secateur_v1_TaskError, TaskError__Output as _secateur_v1_TaskError__Output } from './secateur/v1/TaskError.ts';
import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from './secateur/v1/TaskIdentity.ts';
import type { TaskResult as _secateur_v1_TaskResult, TaskResult__Output as _secateur_v1_TaskResult__Output } from './secateur/v1/TaskResult.ts';
import type { TensorRef as _secateur_v1_TensorRef, TensorRef__Output as _secateur_v1_TensorRef__Output } from './secateur/v1/TensorRef.ts';
import type { WriteArtifactHeader as _secateur_v1_WriteArtifactHeader, WriteArtifactHeader__Output as _secateur_v1_WriteArtifactHeader__Output } from './secateur/v1/WriteArtifactHeader.ts';
import type { WriteArtifactRequest as _secateur_v1_WriteArtifactRequest, WriteArtifactRequest__Output as _secateur_v1_WriteArtifactRequest__Output } from './secateur/v1/WriteArtifactRequest.ts';
import type { WriteArtifactResponse as _secateur_v1_WriteArtifactResponse, WriteArtifactResponse__Output as _secateur_v1_WriteArtifactResponse__Output } from './secateur/v1/WriteArtifactResponse.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  secateur: {
    v1: {
      ArtifactChunk: MessageTypeDefinition<_secateur_v1_ArtifactChunk, _secateur_v1_ArtifactChunk__Output>
      /**
       * A job's files through the coordinator, for workers that do not see the paths.
       */
      Artifacts: SubtypeConstructor<typeof grpc.Client, _secateur_v1_ArtifactsClient> & { service: _secateur_v1_ArtifactsDefinition }
      CountOutliersResult: MessageTypeDefinition<_secateur_v1_CountOutliersResult, _secateur_v1_CountOutliersResult__Output>
      CountOutliersTask: MessageTypeDefinition<_secateur_v1_CountOutliersTask, _secateur_v1_CountOutliersTask__Output>
      DampingRaise: MessageTypeDefinition<_secateur_v1_DampingRaise, _secateur_v1_DampingRaise__Output>
      DigestSourceResult: MessageTypeDefinition<_secateur_v1_DigestSourceResult, _secateur_v1_DigestSourceResult__Output>
      DigestSourceTask: MessageTypeDefinition<_secateur_v1_DigestSourceTask, _secateur_v1_DigestSourceTask__Output>
      EmbedInput: MessageTypeDefinition<_secateur_v1_EmbedInput, _secateur_v1_EmbedInput__Output>
      EvaluateResult: MessageTypeDefinition<_secateur_v1_EvaluateResult, _secateur_v1_EvaluateResult__Output>
      EvaluateTask: MessageTypeDefinition<_secateur_v1_EvaluateTask, _secateur_v1_EvaluateTask__Output>
      FileRef: MessageTypeDefinition<_secateur_v1_FileRef, _secateur_v1_FileRef__Output>
      FileRoot: EnumTypeDefinition
      GroupPattern: MessageTypeDefinition<_secateur_v1_GroupPattern, _secateur_v1_GroupPattern__Output>
      HandOverResult: MessageTypeDefinition<_secateur_v1_HandOverResult, _secateur_v1_HandOverResult__Output>
      HandOverTask: MessageTypeDefinition<_secateur_v1_HandOverTask, _secateur_v1_HandOverTask__Output>
      Holding: MessageTypeDefinition<_secateur_v1_Holding, _secateur_v1_Holding__Output>
      JobContext: MessageTypeDefinition<_secateur_v1_JobContext, _secateur_v1_JobContext__Output>
      LayerRef: MessageTypeDefinition<_secateur_v1_LayerRef, _secateur_v1_LayerRef__Output>
      LinearInput: MessageTypeDefinition<_secateur_v1_LinearInput, _secateur_v1_LinearInput__Output>
      LinearSelection: MessageTypeDefinition<_secateur_v1_LinearSelection, _secateur_v1_LinearSelection__Output>
      MeasureErrorResult: MessageTypeDefinition<_secateur_v1_MeasureErrorResult, _secateur_v1_MeasureErrorResult__Output>
      MeasureErrorTask: MessageTypeDefinition<_secateur_v1_MeasureErrorTask, _secateur_v1_MeasureErrorTask__Output>
      MethodOptions: MessageTypeDefinition<_secateur_v1_MethodOptions, _secateur_v1_MethodOptions__Output>
      MicrobatchRange: MessageTypeDefinition<_secateur_v1_MicrobatchRange, _secateur_v1_MicrobatchRange__Output>
      PassInput: MessageTypeDefinition<_secateur_v1_PassInput, _secateur_v1_PassInput__Output>
      PassResult: MessageTypeDefinition<_secateur_v1_PassResult, _secateur_v1_PassResult__Output>
      PassTask: MessageTypeDefinition<_secateur_v1_PassTask, _secateur_v1_PassTask__Output>
      PrepareCalibrationResult: MessageTypeDefinition<_secateur_v1_PrepareCalibrationResult, _secateur_v1_PrepareCalibrationResult__Output>
      PrepareCalibrationTask: MessageTypeDefinition<_secateur_v1_PrepareCalibrationTask, _secateur_v1_PrepareCalibrationTask__Output>
      PrepareEvaluationResult: MessageTypeDefinition<_secateur_v1_PrepareEvaluationResult, _secateur_v1_PrepareEvaluationResult__Output>
      PrepareEvaluationTask: MessageTypeDefinition<_secateur_v1_PrepareEvaluationTask, _secateur_v1_PrepareEvaluationTask__Output>
      PruneResult: MessageTypeDefinition<_secateur_v1_PruneResult, _secateur_v1_PruneResult__Output>
      PruneTask: MessageTypeDefinition<_secateur_v1_PruneTask, _secateur_v1_PruneTask__Output>
      PrunedTensor: MessageTypeDefinition<_secateur_v1_PrunedTensor, _secateur_v1_PrunedTensor__Output>
      ReadArtifactRequest: MessageTypeDefinition<_secateur_v1_ReadArtifactRequest, _secateur_v1_ReadArtifactRequest__Output>
      SnapshotFile: MessageTypeDefinition<_secateur_v1_SnapshotFile, _secateur_v1_SnapshotFile__Output>
      SnapshotInput: MessageTypeDefinition<_secateur_v1_SnapshotInput, _secateur_v1_SnapshotInput__Output>
      StatisticSum: MessageTypeDefinition<_secateur_v1_StatisticSum, _secateur_v1_StatisticSum__Output>
      Task: MessageTypeDefinition<_secateur_v1_Task, _secateur_v1_Task__Output>
      TaskError: MessageTypeDefinition<_secateur_v1_TaskError, _secateur_v1_TaskError__Output>
      TaskIdentity: MessageTypeDefinition<_secateur_v1_TaskIdentity, _secateur_v1_TaskIdentity__Output>
      TaskResult: MessageTypeDefinition<_secateur_v1_TaskResult, _secateur_v1_TaskResult__Output>
      TensorRef: MessageTypeDefinition<_secateur_v1_TensorRef, _secateur_v1_TensorRef__Output>
      WriteArtifactHeader: MessageTypeDefinition<_secateur_v1_WriteArtifactHeader, _secateur_v1_WriteArtifactHeader__Output>
      WriteArtifactRequest: MessageTypeDefinition<_secateur_v1_WriteArtifactRequest, _secateur_v1_WriteArtifactRequest__Output>
      WriteArtifactResponse: MessageTypeDefinition<_secateur_v1_WriteArtifactResponse, _secateur_v1_WriteArtifactResponse__Output>
    }
  }
}
