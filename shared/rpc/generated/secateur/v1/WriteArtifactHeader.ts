// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/artifacts.proto

import type { TaskIdentity as _secateur_v1_TaskIdentity, TaskIdentity__Output as _secateur_v1_TaskIdentity__Output } from '../../secateur/v1/TaskIdentity.ts';
import type { FileRef as _secateur_v1_FileRef, FileRef__Output as _secateur_v1_FileRef__Output } from '../../secateur/v1/FileRef.ts';

export interface WriteArtifactHeader {
  'identity'?: (_secateur_v1_TaskIdentity | null);
  /**
   * Root must be staging; size and digest must be given: the file appears, whole, only if both agree.
   */
  'file'?: (_secateur_v1_FileRef | null);
}

export interface WriteArtifactHeader__Output {
  'identity': (_secateur_v1_TaskIdentity__Output | null);
  /**
   * Root must be staging; size and digest must be given: the file appears, whole, only if both agree.
   */
  'file': (_secateur_v1_FileRef__Output | null);
}
