// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/artifacts.proto


export interface ArtifactChunk {
  'offset'?: (number);
  /**
   * At most 1 MiB.
   */
  'data'?: (Uint8Array);
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
