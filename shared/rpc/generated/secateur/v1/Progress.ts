// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface Progress {
  'layersCommitted'?: (number);
  'layerCount'?: (number);
  /**
   * Work done and work in all, in tokens through layers; both passes of a layer count.
   */
  'workDone'?: (number);
  'workTotal'?: (number);
  'tokensPerSecond'?: (number);
  /**
   * Negative: not known yet.
   */
  'remainingMs'?: (number);
  'activity'?: (string);
}

export interface Progress__Output {
  'layersCommitted': (number);
  'layerCount': (number);
  /**
   * Work done and work in all, in tokens through layers; both passes of a layer count.
   */
  'workDone': (number);
  'workTotal': (number);
  'tokensPerSecond': (number);
  /**
   * Negative: not known yet.
   */
  'remainingMs': (number);
  'activity': (string);
}
