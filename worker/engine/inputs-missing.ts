/** What of a task's inputs in staging cannot be used: told so that the coordinator has it computed again. */
import {
  type ErrorCode,
  type ErrorDetails,
  SecateurError,
  toSecateurError,
} from '../../shared/errors/secateur-error.ts';

/** What can be wrong with a file itself: it is not there, no regular file, cut short, or holds other bytes. */
const OF_THE_FILE: ReadonlySet<ErrorCode> = new Set([
  'SourceMissing',
  'CheckpointInvalid',
  'SourceChanged',
  'ChecksumMismatch',
  'SafetensorsInvalid',
]);

/**
 * What is wrong with the file is InputsMissing with `details`, which name what the coordinator is to forget. All else (a
 * coordinator that is away, a lease that is over, a cache or a disk that is full, rights, too many open files) says nothing
 * about the file, and is thrown as it came: the file is as good as before.
 *
 * @param what cannot be used, and what comes of it
 */
export function inputsMissing(thrown: unknown, what: (reason: string) => string, details: ErrorDetails): SecateurError {
  const cause = toSecateurError(thrown);
  const isOfTheFile =
    OF_THE_FILE.has(cause.code) || cause.details.staged !== undefined || cause.details.errno === 'EIO';
  if (!isOfTheFile) return cause;
  return new SecateurError('InputsMissing', what(cause.message), { retryable: true, cause, details });
}
