/** What a worker says went wrong with a task, in the core's words and within bounds: it stands in the journal, and in events. */
import { ERROR_TABLE, type ErrorCode } from '../../shared/errors/secateur-error.ts';
import { contains } from '../../shared/microbatch-set.ts';
import type { TaskError__Output } from '../../shared/rpc/generated/secateur/v1/TaskError.ts';
import type { TaskFailure } from '../core/events.ts';
import type { TaskSpec } from '../core/task.ts';

/** A native stack and an engine's last words fit; and it fits many times over into a message, an event or a journal line. */
const TASK_ERROR_MESSAGE_BYTES_MAX = 16 * 1024;
/** Names and numbers. */
const TASK_ERROR_DETAILS_BYTES_MAX = 6 * 1024;
const UNREADABLE_SHOWN_MAX = 200;

/** @param spec of the lease; null where it is over */
export function readFailure(error: TaskError__Output, spec: TaskSpec | null): TaskFailure {
  const code = (Object.hasOwn(ERROR_TABLE, error.code) ? error.code : 'Internal') as ErrorCode;
  const details = parseDetails(error.detailsJson);
  return {
    code,
    message: shortenBytes(error.message, TASK_ERROR_MESSAGE_BYTES_MAX),
    retryable: error.retryable,
    details: code === 'InputsMissing' ? ownInput(details, spec) : details,
  };
}

/** The core forgets the snapshot that is named, and counts what is lost by it: of another's input nothing is known. */
function ownInput(details: TaskFailure['details'], spec: TaskSpec | null): TaskFailure['details'] {
  const { boundary, microbatch, ...others } = details;
  const isOwn =
    spec?.kind === 'pass' &&
    boundary === spec.layer &&
    typeof microbatch === 'number' &&
    Number.isInteger(microbatch) &&
    contains(spec.microbatches, microbatch);
  return isOwn ? details : others;
}

/** Details are for people and programs that look closer: what cannot be read of them never hides the failure itself. */
function parseDetails(json: string): TaskFailure['details'] {
  const sizeBytes = Buffer.byteLength(json);
  if (sizeBytes > TASK_ERROR_DETAILS_BYTES_MAX) return { detailsLeftOutBytes: sizeBytes };
  try {
    const details: unknown = JSON.parse(json || '{}');
    if (typeof details === 'object' && details !== null && !Array.isArray(details)) {
      return details as TaskFailure['details'];
    }
  } catch {
    // Told below, as it came.
  }
  return { unreadableDetails: json.slice(0, UNREADABLE_SHOWN_MAX).toWellFormed() };
}

/** Its beginning says what it is, its end how it went. */
function shortenBytes(text: string, sizeBytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.length <= sizeBytesMax) return text.toWellFormed();
  const note = `… (${bytes.length - sizeBytesMax} bytes and more left out) …`;
  // A character that is cut becomes a mark of three bytes.
  const half = Math.floor((sizeBytesMax - Buffer.byteLength(note)) / 2) - 3;
  return `${bytes.subarray(0, half)}${note}${bytes.subarray(-half)}`;
}
