// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/artifacts.proto

import type * as grpc from '@grpc/grpc-js'
import type { MethodDefinition } from '@grpc/proto-loader'
import type { ArtifactChunk as _secateur_v1_ArtifactChunk, ArtifactChunk__Output as _secateur_v1_ArtifactChunk__Output } from '../../secateur/v1/ArtifactChunk.ts';
import type { ReadArtifactRequest as _secateur_v1_ReadArtifactRequest, ReadArtifactRequest__Output as _secateur_v1_ReadArtifactRequest__Output } from '../../secateur/v1/ReadArtifactRequest.ts';
import type { WriteArtifactRequest as _secateur_v1_WriteArtifactRequest, WriteArtifactRequest__Output as _secateur_v1_WriteArtifactRequest__Output } from '../../secateur/v1/WriteArtifactRequest.ts';
import type { WriteArtifactResponse as _secateur_v1_WriteArtifactResponse, WriteArtifactResponse__Output as _secateur_v1_WriteArtifactResponse__Output } from '../../secateur/v1/WriteArtifactResponse.ts';

/**
 * A job's files through the coordinator, for workers that do not see the paths.
 */
export interface ArtifactsClient extends grpc.Client {
  Read(argument: _secateur_v1_ReadArtifactRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_ArtifactChunk__Output>;
  Read(argument: _secateur_v1_ReadArtifactRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_ArtifactChunk__Output>;
  read(argument: _secateur_v1_ReadArtifactRequest, metadata: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_ArtifactChunk__Output>;
  read(argument: _secateur_v1_ReadArtifactRequest, options?: grpc.CallOptions): grpc.ClientReadableStream<_secateur_v1_ArtifactChunk__Output>;

  Write(metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;
  Write(metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;
  Write(options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;
  Write(callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;
  write(metadata: grpc.Metadata, options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;
  write(metadata: grpc.Metadata, callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;
  write(options: grpc.CallOptions, callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;
  write(callback: grpc.requestCallback<_secateur_v1_WriteArtifactResponse__Output>): grpc.ClientWritableStream<_secateur_v1_WriteArtifactRequest>;

}

/**
 * A job's files through the coordinator, for workers that do not see the paths.
 */
export interface ArtifactsHandlers extends grpc.UntypedServiceImplementation {
  Read: grpc.handleServerStreamingCall<_secateur_v1_ReadArtifactRequest__Output, _secateur_v1_ArtifactChunk>;

  Write: grpc.handleClientStreamingCall<_secateur_v1_WriteArtifactRequest__Output, _secateur_v1_WriteArtifactResponse>;

}

export interface ArtifactsDefinition extends grpc.ServiceDefinition {
  Read: MethodDefinition<_secateur_v1_ReadArtifactRequest, _secateur_v1_ArtifactChunk, _secateur_v1_ReadArtifactRequest__Output, _secateur_v1_ArtifactChunk__Output>
  Write: MethodDefinition<_secateur_v1_WriteArtifactRequest, _secateur_v1_WriteArtifactResponse, _secateur_v1_WriteArtifactRequest__Output, _secateur_v1_WriteArtifactResponse__Output>
}
