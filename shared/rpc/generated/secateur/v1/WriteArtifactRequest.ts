// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/artifacts.proto

import type { WriteArtifactHeader as _secateur_v1_WriteArtifactHeader, WriteArtifactHeader__Output as _secateur_v1_WriteArtifactHeader__Output } from '../../secateur/v1/WriteArtifactHeader.ts';
import type { ArtifactChunk as _secateur_v1_ArtifactChunk, ArtifactChunk__Output as _secateur_v1_ArtifactChunk__Output } from '../../secateur/v1/ArtifactChunk.ts';

export interface WriteArtifactRequest {
  'header'?: (_secateur_v1_WriteArtifactHeader | null);
  'chunk'?: (_secateur_v1_ArtifactChunk | null);
  'message'?: "header"|"chunk";
}

export interface WriteArtifactRequest__Output {
  'header'?: (_secateur_v1_WriteArtifactHeader__Output | null);
  'chunk'?: (_secateur_v1_ArtifactChunk__Output | null);
  'message'?: "header"|"chunk";
}
