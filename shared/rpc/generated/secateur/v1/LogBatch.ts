// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { LogLine as _secateur_v1_LogLine, LogLine__Output as _secateur_v1_LogLine__Output } from '../../secateur/v1/LogLine.ts';

/**
 * Sent again after a reconnect, until LogsWritten says that they stand in the job's log.
 */
export interface LogBatch {
  'lines'?: (_secateur_v1_LogLine)[];
}

/**
 * Sent again after a reconnect, until LogsWritten says that they stand in the job's log.
 */
export interface LogBatch__Output {
  'lines': (_secateur_v1_LogLine__Output)[];
}
