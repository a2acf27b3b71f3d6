// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/common.proto


/**
 * Where a job's files are, and what every task of it needs to know.
 */
export interface JobContext {
  'job'?: (string);
  'sourceDirectory'?: (string);
  'stagingDirectory'?: (string);
  'calibrationFiles'?: (string)[];
  /**
   * shared/models ModelDescription as JSON.
   */
  'modelJson'?: (string);
  'samples'?: (number);
  'sequenceLength'?: (number);
  /**
   * Samples in one forward run.
   */
  'microbatch'?: (number);
  /**
   * Name of a file under staging that proves that a worker sees the same folder, and its content.
   */
  'probeName'?: (string);
  'probeContent'?: (string);
  'evaluationFiles'?: (string)[];
}

/**
 * Where a job's files are, and what every task of it needs to know.
 */
export interface JobContext__Output {
  'job': (string);
  'sourceDirectory': (string);
  'stagingDirectory': (string);
  'calibrationFiles': (string)[];
  /**
   * shared/models ModelDescription as JSON.
   */
  'modelJson': (string);
  'samples': (number);
  'sequenceLength': (number);
  /**
   * Samples in one forward run.
   */
  'microbatch': (number);
  /**
   * Name of a file under staging that proves that a worker sees the same folder, and its content.
   */
  'probeName': (string);
  'probeContent': (string);
  'evaluationFiles': (string)[];
}
