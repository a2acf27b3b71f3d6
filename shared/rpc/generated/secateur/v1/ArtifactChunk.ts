// Original file: protos/secateur/v1/artifacts.proto

import type { Long } from '@grpc/proto-loader';

export interface ArtifactChunk {
  'offset'?: (number | string | Long);
  /**
   * At most 1 MiB.
   */
  'data'?: (Buffer | Uint8Array | string);
  /**
   * CRC-32 (ISO-HDLC) of data.
   */
  'crc32'?: (number);
}

export interface ArtifactChunk__Output {
  'offset': (number);
  /**
   * At most 1 MiB.
   */
  'data': (Buffer);
  /**
   * CRC-32 (ISO-HDLC) of data.
   */
  'crc32': (number);
}
