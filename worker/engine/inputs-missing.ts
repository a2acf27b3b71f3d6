/** What of a task's inputs in staging cannot be used: told so that the coordinator has it computed again. */
import { type ErrorDetails, SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';

/**
 * Whatever is wrong with the file is InputsMissing with `details`, which name what the coordinator is to forget. A
 * coordinator that is away, or a lease that is over, says nothing about the file: thrown as it came.
 *
 * @param what cannot be used, and what comes of it
 */
export function inputsMissing(thrown: unknown, what: (reason: string) => string, details: ErrorDetails): SecateurError {
  const cause = toSecateurError(thrown);
  if (cause.code === 'Unavailable' || cause.code === 'StaleEpoch' || cause.code === 'DeadlineExceeded') return cause;
  return new SecateurError('InputsMissing', what(cause.message), { retryable: true, cause, details });
}
