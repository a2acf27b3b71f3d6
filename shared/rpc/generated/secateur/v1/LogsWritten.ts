// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


/**
 * Lines up to this one stand in their jobs' logs, or never will: the worker need not keep them. Said with the heartbeats.
 */
export interface LogsWritten {
  'sequence'?: (number);
}

/**
 * Lines up to this one stand in their jobs' logs, or never will: the worker need not keep them. Said with the heartbeats.
 */
export interface LogsWritten__Output {
  'sequence': (number);
}
