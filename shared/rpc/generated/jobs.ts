// Generated from protos/ by `npm run build:proto`; do not edit.

import type * as grpc from '@grpc/grpc-js';
import type { MessageTypeDefinition } from '@grpc/proto-loader';

import type { Job as _secateur_v1_Job, Job__Output as _secateur_v1_Job__Output } from './secateur/v1/Job.ts';
import type { JobFailure as _secateur_v1_JobFailure, JobFailure__Output as _secateur_v1_JobFailure__Output } from './secateur/v1/JobFailure.ts';
import type { JobRequest as _secateur_v1_JobRequest, JobRequest__Output as _secateur_v1_JobRequest__Output } from './secateur/v1/JobRequest.ts';
import type { JobStatus as _secateur_v1_JobStatus, JobStatus__Output as _secateur_v1_JobStatus__Output } from './secateur/v1/JobStatus.ts';
import type { JobsClient as _secateur_v1_JobsClient, JobsDefinition as _secateur_v1_JobsDefinition } from './secateur/v1/Jobs.ts';
import type { ListRequest as _secateur_v1_ListRequest, ListRequest__Output as _secateur_v1_ListRequest__Output } from './secateur/v1/ListRequest.ts';
import type { ListResponse as _secateur_v1_ListResponse, ListResponse__Output as _secateur_v1_ListResponse__Output } from './secateur/v1/ListResponse.ts';
import type { ListWorkersRequest as _secateur_v1_ListWorkersRequest, ListWorkersRequest__Output as _secateur_v1_ListWorkersRequest__Output } from './secateur/v1/ListWorkersRequest.ts';
import type { ListWorkersResponse as _secateur_v1_ListWorkersResponse, ListWorkersResponse__Output as _secateur_v1_ListWorkersResponse__Output } from './secateur/v1/ListWorkersResponse.ts';
import type { LogsRequest as _secateur_v1_LogsRequest, LogsRequest__Output as _secateur_v1_LogsRequest__Output } from './secateur/v1/LogsRequest.ts';
import type { LogsResponse as _secateur_v1_LogsResponse, LogsResponse__Output as _secateur_v1_LogsResponse__Output } from './secateur/v1/LogsResponse.ts';
import type { PlanRequest as _secateur_v1_PlanRequest, PlanRequest__Output as _secateur_v1_PlanRequest__Output } from './secateur/v1/PlanRequest.ts';
import type { PlanResponse as _secateur_v1_PlanResponse, PlanResponse__Output as _secateur_v1_PlanResponse__Output } from './secateur/v1/PlanResponse.ts';
import type { Progress as _secateur_v1_Progress, Progress__Output as _secateur_v1_Progress__Output } from './secateur/v1/Progress.ts';
import type { ReplicaStatus as _secateur_v1_ReplicaStatus, ReplicaStatus__Output as _secateur_v1_ReplicaStatus__Output } from './secateur/v1/ReplicaStatus.ts';
import type { StageStatus as _secateur_v1_StageStatus, StageStatus__Output as _secateur_v1_StageStatus__Output } from './secateur/v1/StageStatus.ts';
import type { SubmitRequest as _secateur_v1_SubmitRequest, SubmitRequest__Output as _secateur_v1_SubmitRequest__Output } from './secateur/v1/SubmitRequest.ts';
import type { WatchRequest as _secateur_v1_WatchRequest, WatchRequest__Output as _secateur_v1_WatchRequest__Output } from './secateur/v1/WatchRequest.ts';
import type { WatchResponse as _secateur_v1_WatchResponse, WatchResponse__Output as _secateur_v1_WatchResponse__Output } from './secateur/v1/WatchResponse.ts';
import type { WorkerStatus as _secateur_v1_WorkerStatus, WorkerStatus__Output as _secateur_v1_WorkerStatus__Output } from './secateur/v1/WorkerStatus.ts';

type SubtypeConstructor<Constructor extends new (...args: any) => any, Subtype> = {
  new(...args: ConstructorParameters<Constructor>): Subtype;
};

export interface ProtoGrpcType {
  secateur: {
    v1: {
      Job: MessageTypeDefinition<_secateur_v1_Job, _secateur_v1_Job__Output>
      JobFailure: MessageTypeDefinition<_secateur_v1_JobFailure, _secateur_v1_JobFailure__Output>
      JobRequest: MessageTypeDefinition<_secateur_v1_JobRequest, _secateur_v1_JobRequest__Output>
      JobStatus: MessageTypeDefinition<_secateur_v1_JobStatus, _secateur_v1_JobStatus__Output>
      Jobs: SubtypeConstructor<typeof grpc.Client, _secateur_v1_JobsClient> & { service: _secateur_v1_JobsDefinition }
      ListRequest: MessageTypeDefinition<_secateur_v1_ListRequest, _secateur_v1_ListRequest__Output>
      ListResponse: MessageTypeDefinition<_secateur_v1_ListResponse, _secateur_v1_ListResponse__Output>
      ListWorkersRequest: MessageTypeDefinition<_secateur_v1_ListWorkersRequest, _secateur_v1_ListWorkersRequest__Output>
      ListWorkersResponse: MessageTypeDefinition<_secateur_v1_ListWorkersResponse, _secateur_v1_ListWorkersResponse__Output>
      LogsRequest: MessageTypeDefinition<_secateur_v1_LogsRequest, _secateur_v1_LogsRequest__Output>
      LogsResponse: MessageTypeDefinition<_secateur_v1_LogsResponse, _secateur_v1_LogsResponse__Output>
      PlanRequest: MessageTypeDefinition<_secateur_v1_PlanRequest, _secateur_v1_PlanRequest__Output>
      PlanResponse: MessageTypeDefinition<_secateur_v1_PlanResponse, _secateur_v1_PlanResponse__Output>
      Progress: MessageTypeDefinition<_secateur_v1_Progress, _secateur_v1_Progress__Output>
      ReplicaStatus: MessageTypeDefinition<_secateur_v1_ReplicaStatus, _secateur_v1_ReplicaStatus__Output>
      StageStatus: MessageTypeDefinition<_secateur_v1_StageStatus, _secateur_v1_StageStatus__Output>
      SubmitRequest: MessageTypeDefinition<_secateur_v1_SubmitRequest, _secateur_v1_SubmitRequest__Output>
      WatchRequest: MessageTypeDefinition<_secateur_v1_WatchRequest, _secateur_v1_WatchRequest__Output>
      WatchResponse: MessageTypeDefinition<_secateur_v1_WatchResponse, _secateur_v1_WatchResponse__Output>
      WorkerStatus: MessageTypeDefinition<_secateur_v1_WorkerStatus, _secateur_v1_WorkerStatus__Output>
    }
  }
}
