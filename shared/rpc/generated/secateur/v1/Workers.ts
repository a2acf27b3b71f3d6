// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { CoordinatorMessage as _secateur_v1_CoordinatorMessage, CoordinatorMessage__Output as _secateur_v1_CoordinatorMessage__Output } from '../../secateur/v1/CoordinatorMessage.ts';
import type { WorkerMessage as _secateur_v1_WorkerMessage, WorkerMessage__Output as _secateur_v1_WorkerMessage__Output } from '../../secateur/v1/WorkerMessage.ts';

/**
 * Workers dial in: a worker needs no address of its own.
 */
export interface WorkersClient extends grpc.Client {
  /**
   * One stream for the worker's life. The first message is Register; the answer is Registered.
   */
  Attach(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_secateur_v1_WorkerMessage, _secateur_v1_CoordinatorMessage__Output>;
  Attach(options?: grpc.CallOptions): grpc.ClientDuplexStream<_secateur_v1_WorkerMessage, _secateur_v1_CoordinatorMessage__Output>;
  /**
   * One stream for the worker's life. The first message is Register; the answer is Registered.
   */
  attach(metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<_secateur_v1_WorkerMessage, _secateur_v1_CoordinatorMessage__Output>;
  attach(options?: grpc.CallOptions): grpc.ClientDuplexStream<_secateur_v1_WorkerMessage, _secateur_v1_CoordinatorMessage__Output>;

}

/**
 * Workers dial in: a worker needs no address of its own.
 */
export interface WorkersHandlers extends grpc.UntypedServiceImplementation {
  /**
   * One stream for the worker's life. The first message is Register; the answer is Registered.
   */
  Attach: grpc.handleBidiStreamingCall<_secateur_v1_WorkerMessage__Output, _secateur_v1_CoordinatorMessage>;

}

export interface WorkersDefinition extends grpc.ServiceDefinition {
  Attach: MethodDefinition<_secateur_v1_WorkerMessage, _secateur_v1_CoordinatorMessage, _secateur_v1_WorkerMessage__Output, _secateur_v1_CoordinatorMessage__Output>
}
