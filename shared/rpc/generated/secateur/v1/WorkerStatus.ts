// Original file: protos/secateur/v1/jobs.proto

import type { Long } from '@grpc/proto-loader';

export interface WorkerStatus {
  'worker'?: (string);
  'attached'?: (boolean);
  'draining'?: (boolean);
  'provider'?: (string);
  'threads'?: (number);
  'memoryBytes'?: (number | string | Long);
  'residentBytes'?: (number | string | Long);
  'engineResidentBytes'?: (number | string | Long);
  'host'?: (string);
  'sinceMs'?: (number | string | Long);
  'task'?: (string);
  'version'?: (string);
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
}
