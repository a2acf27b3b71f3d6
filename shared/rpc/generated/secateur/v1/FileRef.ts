// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto

import type { FileRoot as _secateur_v1_FileRoot, FileRoot__Output as _secateur_v1_FileRoot__Output } from '../../secateur/v1/FileRoot.ts';

export interface FileRef {
  'root'?: (_secateur_v1_FileRoot);
  /**
   * A relative path without "..", for example "layers/00012.safetensors".
   */
  'name'?: (string);
  /**
   * Expected size; 0 where it is not known yet.
   */
  'sizeBytes'?: (number);
  /**
   * Expected SHA-256 in hex; empty where it is not known yet.
   */
  'sha256'?: (string);
}

export interface FileRef__Output {
  'root': (_secateur_v1_FileRoot__Output);
  /**
   * A relative path without "..", for example "layers/00012.safetensors".
   */
  'name': (string);
  /**
   * Expected size; 0 where it is not known yet.
   */
  'sizeBytes': (number);
  /**
   * Expected SHA-256 in hex; empty where it is not known yet.
   */
  'sha256': (string);
}
