// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { Job as _secateur_v1_Job, Job__Output as _secateur_v1_Job__Output } from '../../secateur/v1/Job.ts';
import type { JobRequest as _secateur_v1_JobRequest, JobRequest__Output as _secateur_v1_JobRequest__Output } from '../../secateur/v1/JobRequest.ts';
import type { ListRequest as _secateur_v1_ListRequest, ListRequest__Output as _secateur_v1_ListRequest__Output } from '../../secateur/v1/ListRequest.ts';
import type { ListResponse as _secateur_v1_ListResponse, ListResponse__Output as _secateur_v1_ListResponse__Output } from '../../secateur/v1/ListResponse.ts';
import type { ListWorkersRequest as _secateur_v1_ListWorkersRequest, ListWorkersRequest__Output as _secateur_v1_ListWorkersRequest__Output } from '../../secateur/v1/ListWorkersRequest.ts';
import type { ListWorkersResponse as _secateur_v1_ListWorkersResponse, ListWorkersResponse__Output as _secateur_v1_ListWorkersResponse__Output } from '../../secateur/v1/ListWorkersResponse.ts';
import type { LogsRequest as _secateur_v1_LogsRequest, LogsRequest__Output as _secateur_v1_LogsRequest__Output } from '../../secateur/v1/LogsRequest.ts';
import type { LogsResponse as _secateur_v1_LogsResponse, LogsResponse__Output as _secateur_v1_LogsResponse__Output } from '../../secateur/v1/LogsResponse.ts';
import type { PlanRequest as _secateur_v1_PlanRequest, PlanRequest__Output as _secateur_v1_PlanRequest__Output } from '../../secateur/v1/PlanRequest.ts';
import type { PlanResponse as _secateur_v1_PlanResponse, PlanResponse__Output as _secateur_v1_PlanResponse__Output } from '../../secateur/v1/PlanResponse.ts';
import type { SubmitRequest as _secateur_v1_SubmitRequest, SubmitRequest__Output as _secateur_v1_SubmitRequest__Output } from '../../secateur/v1/SubmitRequest.ts';
import type { WatchRequest as _secateur_v1_WatchRequest, WatchRequest__Output as _secateur_v1_WatchRequest__Output } from '../../secateur/v1/WatchRequest.ts';
import type { WatchResponse as _secateur_v1_WatchResponse, WatchResponse__Output as _secateur_v1_WatchResponse__Output } from '../../secateur/v1/WatchResponse.ts';

export interface JobsClient extends grpc.Client {
  /**
   * Stops a job. Committed layers stay; Resume goes on from them.
   */
  Cancel(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Cancel(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Cancel(argument: _secateur_v1_JobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Cancel(argument: _secateur_v1_JobRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  /**
   * Stops a job. Committed layers stay; Resume goes on from them.
   */
  cancel(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  cancel(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  cancel(argument: _secateur_v1_JobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  cancel(argument: _secateur_v1_JobRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;

  Get(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Get(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Get(argument: _secateur_v1_JobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Get(argument: _secateur_v1_JobRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _secateur_v1_JobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  get(argument: _secateur_v1_JobRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;

  List(argument: _secateur_v1_ListRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _secateur_v1_ListRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _secateur_v1_ListRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  List(argument: _secateur_v1_ListRequest, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _secateur_v1_ListRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _secateur_v1_ListRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _secateur_v1_ListRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;
  list(argument: _secateur_v1_ListRequest, callback: grpc.requestCallback<_secateur_v1_ListResponse__Output>): grpc.ClientUnaryCall;

  ListWorkers(argument: _secateur_v1_ListWorkersRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;
  ListWorkers(argument: _secateur_v1_ListWorkersRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;
  ListWorkers(argument: _secateur_v1_ListWorkersRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;
  ListWorkers(argument: _secateur_v1_ListWorkersRequest, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;
  listWorkers(argument: _secateur_v1_ListWorkersRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;
  listWorkers(argument: _secateur_v1_ListWorkersRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;
  listWorkers(argument: _secateur_v1_ListWorkersRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;
  listWorkers(argument: _secateur_v1_ListWorkersRequest, callback: grpc.requestCallback<_secateur_v1_ListWorkersResponse__Output>): grpc.ClientUnaryCall;

  Logs(argument: _secateur_v1_LogsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_LogsResponse__Output>;
  Logs(argument: _secateur_v1_LogsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_LogsResponse__Output>;
  logs(argument: _secateur_v1_LogsRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_LogsResponse__Output>;
  logs(argument: _secateur_v1_LogsRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_LogsResponse__Output>;

  /**
   * Reads the inputs and says what a job would do, without taking it.
   */
  Plan(argument: _secateur_v1_PlanRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;
  Plan(argument: _secateur_v1_PlanRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;
  Plan(argument: _secateur_v1_PlanRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;
  Plan(argument: _secateur_v1_PlanRequest, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;
  /**
   * Reads the inputs and says what a job would do, without taking it.
   */
  plan(argument: _secateur_v1_PlanRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;
  plan(argument: _secateur_v1_PlanRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;
  plan(argument: _secateur_v1_PlanRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;
  plan(argument: _secateur_v1_PlanRequest, callback: grpc.requestCallback<_secateur_v1_PlanResponse__Output>): grpc.ClientUnaryCall;

  /**
   * A failed or cancelled job goes on, once its inputs are found unchanged.
   */
  Resume(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Resume(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Resume(argument: _secateur_v1_JobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Resume(argument: _secateur_v1_JobRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  /**
   * A failed or cancelled job goes on, once its inputs are found unchanged.
   */
  resume(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  resume(argument: _secateur_v1_JobRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  resume(argument: _secateur_v1_JobRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  resume(argument: _secateur_v1_JobRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;

  /**
   * Takes a job. Answers once it is in the journal.
   */
  Submit(argument: _secateur_v1_SubmitRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Submit(argument: _secateur_v1_SubmitRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Submit(argument: _secateur_v1_SubmitRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  Submit(argument: _secateur_v1_SubmitRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  /**
   * Takes a job. Answers once it is in the journal.
   */
  submit(argument: _secateur_v1_SubmitRequest, metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  submit(argument: _secateur_v1_SubmitRequest, metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  submit(argument: _secateur_v1_SubmitRequest, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;
  submit(argument: _secateur_v1_SubmitRequest, callback: grpc.requestCallback<_secateur_v1_Job__Output>): grpc.ClientUnaryCall;

  /**
   * Events after a sequence number, then new ones as they come, with progress between them. Ends after the job's last event.
   */
  Watch(argument: _secateur_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_WatchResponse__Output>;
  Watch(argument: _secateur_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_WatchResponse__Output>;
  /**
   * Events after a sequence number, then new ones as they come, with progress between them. Ends after the job's last event.
   */
  watch(argument: _secateur_v1_WatchRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_WatchResponse__Output>;
  watch(argument: _secateur_v1_WatchRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_WatchResponse__Output>;

}

export interface JobsHandlers extends grpc.UntypedServiceImplementation {
  /**
   * Stops a job. Committed layers stay; Resume goes on from them.
   */
  Cancel: grpc.handleUnaryCall<_secateur_v1_JobRequest__Output, _secateur_v1_Job>;

  Get: grpc.handleUnaryCall<_secateur_v1_JobRequest__Output, _secateur_v1_Job>;

  List: grpc.handleUnaryCall<_secateur_v1_ListRequest__Output, _secateur_v1_ListResponse>;

  ListWorkers: grpc.handleUnaryCall<_secateur_v1_ListWorkersRequest__Output, _secateur_v1_ListWorkersResponse>;

  Logs: grpc.handleServerStreamingCall<_secateur_v1_LogsRequest__Output, _secateur_v1_LogsResponse>;

  /**
   * Reads the inputs and says what a job would do, without taking it.
   */
  Plan: grpc.handleUnaryCall<_secateur_v1_PlanRequest__Output, _secateur_v1_PlanResponse>;

  /**
   * A failed or cancelled job goes on, once its inputs are found unchanged.
   */
  Resume: grpc.handleUnaryCall<_secateur_v1_JobRequest__Output, _secateur_v1_Job>;

  /**
   * Takes a job. Answers once it is in the journal.
   */
  Submit: grpc.handleUnaryCall<_secateur_v1_SubmitRequest__Output, _secateur_v1_Job>;

  /**
   * Events after a sequence number, then new ones as they come, with progress between them. Ends after the job's last event.
   */
  Watch: grpc.handleServerStreamingCall<_secateur_v1_WatchRequest__Output, _secateur_v1_WatchResponse>;

}

export interface JobsDefinition extends grpc.ServiceDefinition {
  Cancel: MethodDefinition<_secateur_v1_JobRequest, _secateur_v1_Job, _secateur_v1_JobRequest__Output, _secateur_v1_Job__Output>
  Get: MethodDefinition<_secateur_v1_JobRequest, _secateur_v1_Job, _secateur_v1_JobRequest__Output, _secateur_v1_Job__Output>
  List: MethodDefinition<_secateur_v1_ListRequest, _secateur_v1_ListResponse, _secateur_v1_ListRequest__Output, _secateur_v1_ListResponse__Output>
  ListWorkers: MethodDefinition<_secateur_v1_ListWorkersRequest, _secateur_v1_ListWorkersResponse, _secateur_v1_ListWorkersRequest__Output, _secateur_v1_ListWorkersResponse__Output>
  Logs: MethodDefinition<_secateur_v1_LogsRequest, _secateur_v1_LogsResponse, _secateur_v1_LogsRequest__Output, _secateur_v1_LogsResponse__Output>
  Plan: MethodDefinition<_secateur_v1_PlanRequest, _secateur_v1_PlanResponse, _secateur_v1_PlanRequest__Output, _secateur_v1_PlanResponse__Output>
  Resume: MethodDefinition<_secateur_v1_JobRequest, _secateur_v1_Job, _secateur_v1_JobRequest__Output, _secateur_v1_Job__Output>
  Submit: MethodDefinition<_secateur_v1_SubmitRequest, _secateur_v1_Job, _secateur_v1_SubmitRequest__Output, _secateur_v1_Job__Output>
  Watch: MethodDefinition<_secateur_v1_WatchRequest, _secateur_v1_WatchResponse, _secateur_v1_WatchRequest__Output, _secateur_v1_WatchResponse__Output>
}
