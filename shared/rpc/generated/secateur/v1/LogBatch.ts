// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto

import type { LogLine as _secateur_v1_LogLine, LogLine__Output as _secateur_v1_LogLine__Output } from '../../secateur/v1/LogLine.ts';

export interface LogBatch {
  'lines'?: (_secateur_v1_LogLine)[];
}

export interface LogBatch__Output {
  'lines': (_secateur_v1_LogLine__Output)[];
}
