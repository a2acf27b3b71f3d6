/**
 * The one error class of the project, its codes, and the one table that maps a code to a gRPC status and an exit code.
 *
 * A message names the thing, what was expected, what was found and what to do. `details` carries the same facts as
 * data. Nobody branches on a message's text: callers look at `code` and `retryable`.
 */

/** gRPC status numbers (grpc/status); written out so that pure folders need no import of grpc-js. */
const GRPC = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
} as const;

/** Exit codes of the command line (docs/cli.md lists them for users). */
export const EXIT = {
  ok: 0,
  failure: 1,
  usage: 2,
  input: 3,
  conflict: 4,
  unavailable: 5,
  corrupt: 6,
  interrupted: 130,
} as const;

/** Every code, with the status the API answers and the code the command line exits with. */
export const ERROR_TABLE = {
  ManifestInvalid: { grpcStatus: GRPC.INVALID_ARGUMENT, exitCode: EXIT.usage },
  ArgumentInvalid: { grpcStatus: GRPC.INVALID_ARGUMENT, exitCode: EXIT.usage },
  CheckpointInvalid: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.input },
  SafetensorsInvalid: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.input },
  ModelUnsupported: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.input },
  CalibrationInvalid: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.input },
  NonFiniteValue: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.input },
  SourceMissing: { grpcStatus: GRPC.NOT_FOUND, exitCode: EXIT.input },
  SourceChanged: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.input },
  OutputExists: { grpcStatus: GRPC.ALREADY_EXISTS, exitCode: EXIT.conflict },
  WorkerNameTaken: { grpcStatus: GRPC.ALREADY_EXISTS, exitCode: EXIT.conflict },
  JobNotFound: { grpcStatus: GRPC.NOT_FOUND, exitCode: EXIT.input },
  JobExists: { grpcStatus: GRPC.ALREADY_EXISTS, exitCode: EXIT.conflict },
  JobState: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.conflict },
  JobFailed: { grpcStatus: GRPC.ABORTED, exitCode: EXIT.failure },
  StateLocked: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.conflict },
  StaleEpoch: { grpcStatus: GRPC.ABORTED, exitCode: EXIT.conflict },
  JournalCorrupt: { grpcStatus: GRPC.DATA_LOSS, exitCode: EXIT.corrupt },
  ChecksumMismatch: { grpcStatus: GRPC.DATA_LOSS, exitCode: EXIT.corrupt },
  QualityGateFailed: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.failure },
  VerificationFailed: { grpcStatus: GRPC.DATA_LOSS, exitCode: EXIT.corrupt },
  InputsMissing: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.failure },
  ProviderUnavailable: { grpcStatus: GRPC.FAILED_PRECONDITION, exitCode: EXIT.unavailable },
  EngineCrashed: { grpcStatus: GRPC.UNAVAILABLE, exitCode: EXIT.failure },
  EngineFailed: { grpcStatus: GRPC.INTERNAL, exitCode: EXIT.failure },
  DeviceMemoryExhausted: { grpcStatus: GRPC.RESOURCE_EXHAUSTED, exitCode: EXIT.failure },
  StorageFailed: { grpcStatus: GRPC.UNAVAILABLE, exitCode: EXIT.failure },
  StorageFull: { grpcStatus: GRPC.RESOURCE_EXHAUSTED, exitCode: EXIT.failure },
  LimitExceeded: { grpcStatus: GRPC.RESOURCE_EXHAUSTED, exitCode: EXIT.failure },
  DeadlineExceeded: { grpcStatus: GRPC.DEADLINE_EXCEEDED, exitCode: EXIT.unavailable },
  Unavailable: { grpcStatus: GRPC.UNAVAILABLE, exitCode: EXIT.unavailable },
  Cancelled: { grpcStatus: GRPC.CANCELLED, exitCode: EXIT.interrupted },
  Internal: { grpcStatus: GRPC.INTERNAL, exitCode: EXIT.failure },
} as const;

export type ErrorCode = keyof typeof ERROR_TABLE;

export type ErrorDetails = Readonly<Record<string, string | number | boolean | null | readonly string[]>>;

export interface SecateurErrorOptions {
  /** Whether the same call may succeed later without anybody changing anything. */
  retryable?: boolean;
  details?: ErrorDetails;
  cause?: unknown;
}

export class SecateurError extends Error {
  readonly code: ErrorCode;
  readonly retryable: boolean;
  readonly details: ErrorDetails;

  constructor(code: ErrorCode, message: string, options: SecateurErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'SecateurError';
    this.code = code;
    this.retryable = options.retryable ?? false;
    this.details = options.details ?? {};
  }
}

const STORAGE_HINTS = {
  EIO: 'Check the disk.',
  EACCES: 'Give this user the right, or choose another place.',
  EPERM: 'Give this user the right, or choose another place.',
  EROFS: 'Choose a place that can be written.',
  EMFILE: 'Raise the limit of open files (ulimit -n).',
  EISDIR: 'Check the path: expected a file, and it is a directory.',
  ELOOP: 'Check the path: its links lead in a circle.',
  ENAMETOOLONG: 'Choose a shorter path.',
} as const;

type StorageErrno = keyof typeof STORAGE_HINTS;

/** A path that leads through a file leads nowhere, as one that leads through nothing. */
const MISSING_ERRNOS: ReadonlySet<string | undefined> = new Set(['ENOENT', 'ENOTDIR']);

/** Any thrown value as a SecateurError: system errors by their errno, everything else as `Internal`. */
export function toSecateurError(thrown: unknown): SecateurError {
  if (thrown instanceof SecateurError) return thrown;
  if (thrown instanceof Error) {
    const errno = (thrown as NodeJS.ErrnoException).code;
    const options = { cause: thrown, ...(errno === undefined ? {} : { details: { errno } }) };
    if (errno === 'ENOSPC' || errno === 'EDQUOT') {
      return new SecateurError(
        'StorageFull',
        `${thrown.message}. Free space on that file system, then resume the job.`,
        options,
      );
    }
    if (MISSING_ERRNOS.has(errno)) return new SecateurError('SourceMissing', thrown.message, options);
    if (errno !== undefined && Object.hasOwn(STORAGE_HINTS, errno)) {
      return new SecateurError('StorageFailed', `${thrown.message}. ${STORAGE_HINTS[errno as StorageErrno]}`, {
        ...options,
        retryable: errno === 'EIO' || errno === 'EMFILE',
      });
    }
    return new SecateurError('Internal', thrown.message, options);
  }
  return new SecateurError('Internal', String(thrown));
}

/**
 * For who takes an error as an answer ("there is no such file"): a failure that may pass by itself says nothing about that.
 *
 * @throws `thrown` as a SecateurError, where it is such a failure
 */
export function rethrowPassing(thrown: unknown): void {
  const error = toSecateurError(thrown);
  if (error.retryable) throw error;
}

/** Checks what only a programmer's error can break. */
export function invariant(condition: unknown, what: string): asserts condition {
  if (!condition) throw new SecateurError('Internal', `invariant broken: ${what}`);
}
