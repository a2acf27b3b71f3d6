// Generated from protos/ by `npm run build:proto`; do not edit.

// Original file: protos/secateur/v1/jobs.proto


export interface WorkerStatus {
  'worker'?: (string);
  'attached'?: (boolean);
  'draining'?: (boolean);
  'provider'?: (string);
  'threads'?: (number);
  'memoryBytes'?: (number);
  'residentBytes'?: (number);
  'engineResidentBytes'?: (number);
  'host'?: (string);
  'sinceMs'?: (number);
  'task'?: (string);
  'version'?: (string);
  /**
   * Of onnxruntime-node; on the CPU with the instruction set that it takes its kernels for: 1.30.0+avx2.
   */
  'engineVersion'?: (string);
  /**
   * What it does, or why it does nothing, in words.
   */
  'message'?: (string);
}

export interface WorkerStatus__Output {
  'worker': (string);
  'attached': (boolean);
  'draining': (boolean);
  'provider': (string);
  'threads': (number);
  'memoryBytes': (number);
  'residentBytes': (number);
  'engineResidentBytes': (number);
  'host': (string);
  'sinceMs': (number);
  'task': (string);
  'version': (string);
  /**
   * Of onnxruntime-node; on the CPU with the instruction set that it takes its kernels for: 1.30.0+avx2.
   */
  'engineVersion': (string);
  /**
   * What it does, or why it does nothing, in words.
   */
  'message': (string);
}
