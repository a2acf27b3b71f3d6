/** What a name on the wire may be, and where it leads: one place, used by whoever sends it and whoever receives it. */
import { realpath, stat } from 'node:fs/promises';
import { join, sep } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { JobContext__Output } from '../rpc/generated/secateur/v1/JobContext.ts';

export type JobFolders = Readonly<
  Pick<JobContext__Output, 'sourceDirectory' | 'stagingDirectory'> & {
    calibrationFiles: readonly string[];
    evaluationFiles: readonly string[];
  }
>;

/** The common limit of file systems on a whole path is 4096. */
const NAME_LENGTH_MAX = 1024;

/**
 * Checks that a name is a plain relative path: it cannot leave the folder that it is joined to.
 *
 * @throws ArgumentInvalid
 */
export function checkFileName(name: string): string {
  const reason = whyNotFileName(name);
  if (reason === null) return name;
  throw new SecateurError(
    'ArgumentInvalid',
    `file name ${JSON.stringify(name.slice(0, NAME_LENGTH_MAX))}: ${reason}; expected a relative path such as "layers/00012.safetensors"`,
    { details: { name: name.slice(0, NAME_LENGTH_MAX) } },
  );
}

function whyNotFileName(name: string): string | null {
  if (name === '') return 'it is empty';
  if (name.length > NAME_LENGTH_MAX) return `it is longer than ${NAME_LENGTH_MAX} characters`;
  if (name.includes('\0')) return 'it holds a NUL character';
  if (name.includes('\\')) return 'it holds a backslash';
  if (name.startsWith('/') || /^[A-Za-z]:/.test(name)) return 'it is absolute';
  const segments = name.split('/');
  if (segments.includes('..')) return 'it has a segment ".."';
  if (segments.includes('.') || segments.includes('')) return 'it is not normalized';
  return null;
}

/** One name a file of a job, for messages and as a key: "staging/layers/00012.safetensors". */
export function refLabel(ref: FileRef): string {
  return `${(ref.root ?? 'FILE_ROOT_UNSPECIFIED').slice('FILE_ROOT_'.length).toLowerCase()}/${ref.name ?? ''}`;
}

/**
 * The path that a reference names; links are not followed and nothing is looked up.
 *
 * @throws ArgumentInvalid
 */
export function pathOfRef(ref: FileRef, folders: JobFolders): string {
  const name = checkFileName(ref.name ?? '');
  switch (ref.root) {
    case 'FILE_ROOT_SOURCE':
      return join(folders.sourceDirectory, name);
    case 'FILE_ROOT_STAGING':
      return join(folders.stagingDirectory, name);
    case 'FILE_ROOT_CALIBRATION':
      return numberedFile(ref, name, folders.calibrationFiles, 'calibration files');
    case 'FILE_ROOT_EVALUATION':
      return numberedFile(ref, name, folders.evaluationFiles, 'evaluation files');
    default:
      throw new SecateurError('ArgumentInvalid', `file ${JSON.stringify(name)}: expected a root; found ${ref.root}`);
  }
}

function numberedFile(ref: FileRef, name: string, paths: readonly string[], what: string): string {
  const path = /^\d{1,9}$/.test(name) ? paths[Number(name)] : undefined;
  if (path !== undefined) return path;
  throw new SecateurError(
    'ArgumentInvalid',
    `${refLabel(ref)}: expected a number below ${paths.length}, the count of ${what}`,
  );
}

/**
 * A reference to a file that a task has made: in staging, size and digest given.
 *
 * @throws ArgumentInvalid
 */
export function checkStagedRef(ref: FileRef): { name: string; sizeBytes: number; sha256: string } {
  const { root, name = '', sizeBytes = 0, sha256 = '' } = ref;
  checkFileName(name);
  if (root !== 'FILE_ROOT_STAGING' || sizeBytes <= 0 || !/^[0-9a-f]{64}$/.test(sha256)) {
    throw new SecateurError(
      'ArgumentInvalid',
      `${refLabel(ref)}: expected a file of staging with its size and its SHA-256 in hex; found size ${sizeBytes}, digest ${JSON.stringify(sha256)}`,
    );
  }
  return { name, sizeBytes, sha256 };
}

/**
 * The file itself: links resolved, a regular file, of the expected size where one is given.
 *
 * @throws ArgumentInvalid, SourceMissing, SourceChanged, StorageFailed (staging), ChecksumMismatch (staging)
 */
export async function locateFile(ref: FileRef, folders: JobFolders): Promise<{ path: string; sizeBytes: number }> {
  const named = pathOfRef(ref, folders);
  const isStaging = ref.root === 'FILE_ROOT_STAGING';
  const details = { file: refLabel(ref), path: named, ...(isStaging ? { staged: ref.name ?? '' } : {}) };
  try {
    const path = await realpath(named);
    if (isStaging && !path.startsWith((await realpath(folders.stagingDirectory)) + sep)) {
      throw new SecateurError('ArgumentInvalid', `${named}: a link that leads out of the staging folder`, { details });
    }
    const found = await stat(path);
    if (!found.isFile()) throw missing(isStaging, `${named}: expected a file; found something else.`, details);
    const expected = ref.sizeBytes ?? 0;
    if (expected !== 0 && found.size !== expected) {
      const sizes = `${named}: expected ${expected} bytes; found ${found.size}.`;
      const facts = { ...details, expected, found: found.size };
      // What the job itself wrote it can write again.
      if (isStaging) {
        const message = `${sizes} It was damaged after it was written.`;
        throw new SecateurError('ChecksumMismatch', message, { retryable: true, details: facts });
      }
      const advice = 'It was changed while the job ran: restore it, then resume.';
      throw new SecateurError('SourceChanged', `${sizes} ${advice}`, { details: facts });
    }
    return { path, sizeBytes: found.size };
  } catch (thrown) {
    const errno = (thrown as NodeJS.ErrnoException).code;
    if (errno !== 'ENOENT' && errno !== 'ENOTDIR' && errno !== 'ELOOP') throw toSecateurError(thrown);
    throw missing(isStaging, `${named}: expected a file; ${(thrown as Error).message}.`, details);
  }
}

/** What others of this job wrote may only be late (a network file system); what the user gave is not there. */
function missing(
  isStaging: boolean,
  message: string,
  details: { file: string; path: string; staged?: string },
): SecateurError {
  if (isStaging) return new SecateurError('StorageFailed', message, { retryable: true, details });
  return new SecateurError('SourceMissing', `${message} Restore it, then resume.`, { details });
}
