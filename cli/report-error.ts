/** What the command line says when something goes wrong, and the exit code that goes with it. */
import { ERROR_TABLE, type ErrorCode, type SecateurError, toSecateurError } from '../shared/errors/secateur-error.ts';

/** Prints `error: <message> [Code]` to standard error; a stack only where SECATEUR_DEBUG=1 asks. @returns the exit code */
export function reportError(thrown: unknown): number {
  const error = toSecateurError(thrown);
  process.stderr.write(`${errorLine(error)}\n`);
  if (process.env.SECATEUR_DEBUG === '1') process.stderr.write(`${stackOf(error)}\n`);
  return exitCodeOf(error.code);
}

export function errorLine(error: SecateurError): string {
  const hint = error.code === 'Internal' ? ' This is a fault of secateur: SECATEUR_DEBUG=1 shows where.' : '';
  return `error: ${error.message}${hint} [${error.code}]`;
}

export function exitCodeOf(code: ErrorCode): number {
  return ERROR_TABLE[code].exitCode;
}

/** A code that came over the wire or out of a file; one that this version does not know is a failed job. */
export function knownCode(code: string): ErrorCode {
  return Object.hasOwn(ERROR_TABLE, code) ? (code as ErrorCode) : 'JobFailed';
}

function stackOf(error: Error): string {
  const cause = error.cause instanceof Error ? `\ncaused by: ${stackOf(error.cause)}` : '';
  return `${error.stack ?? error.message}${cause}`;
}
