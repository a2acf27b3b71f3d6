// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/workers.proto


export interface LogLine {
  'job'?: (string);
  'task'?: (string);
  /**
   * "agent" or "engine".
   */
  'source'?: (string);
  'level'?: (string);
  'atMs'?: (number);
  'message'?: (string);
  /**
   * Counts the lines of one process of the worker, over all jobs, from 1: a line that comes twice is known by it.
   */
  'sequence'?: (number);
}

export interface LogLine__Output {
  'job': (string);
  'task': (string);
  /**
   * "agent" or "engine".
   */
  'source': (string);
  'level': (string);
  'atMs': (number);
  'message': (string);
  /**
   * Counts the lines of one process of the worker, over all jobs, from 1: a line that comes twice is known by it.
   */
  'sequence': (number);
}
