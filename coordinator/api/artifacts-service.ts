/**
 * A job's files for workers that do not see them: ranges of files out, finished files in.
 *
 * Invariants:
 *  1. Only a job's own files can be named: its source's listed files, its calibration files, and what is under its
 *     staging folder once links are resolved.
 *  2. A file appears under its name whole, durable, and with the announced size and digest, or not at all.
 *  3. Only the attempt that holds a task's lease can make a file appear; that is checked before the first byte and again
 *     before the rename.
 *  4. Writers of one name do not meet: each writes its own temporary file, and the last rename counts.
 */
import { createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { type FileHandle, open, rm, statfs } from 'node:fs/promises';
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { handleClientStream } from '../../shared/rpc/client-stream.ts';
import type { ArtifactChunk } from '../../shared/rpc/generated/secateur/v1/ArtifactChunk.ts';
import type { ArtifactsHandlers } from '../../shared/rpc/generated/secateur/v1/Artifacts.ts';
import type { FileRef__Output } from '../../shared/rpc/generated/secateur/v1/FileRef.ts';
import type { ReadArtifactRequest__Output } from '../../shared/rpc/generated/secateur/v1/ReadArtifactRequest.ts';
import type { TaskIdentity__Output } from '../../shared/rpc/generated/secateur/v1/TaskIdentity.ts';
import type { WriteArtifactHeader__Output } from '../../shared/rpc/generated/secateur/v1/WriteArtifactHeader.ts';
import type { WriteArtifactRequest__Output } from '../../shared/rpc/generated/secateur/v1/WriteArtifactRequest.ts';
import type { WriteArtifactResponse } from '../../shared/rpc/generated/secateur/v1/WriteArtifactResponse.ts';
import { handleServerStream } from '../../shared/rpc/server-stream.ts';
import { checkChunk, readChunks } from '../../shared/storage/artifact-chunks.ts';
import { checkFileName, checkStagedRef, type JobFolders, locateFile, refLabel } from '../../shared/storage/file-ref.ts';
import { commitStagingFile, temporaryStagingPath } from '../../shared/storage/staging-file.ts';
import { writeFully } from '../../shared/storage/write-fully.ts';
import { CallLimit } from './call-limit.ts';

/** A job's folders, and which files of its source belong to it. */
interface ArtifactsJob extends JobFolders {
  /** Shards and auxiliary files as intake listed them. They may link to a cache anywhere. */
  readonly sourceFiles: ReadonlySet<string>;
}

export interface ArtifactsContext {
  /** Undefined where there is no such job, or its inputs are not read yet. */
  readonly resolveJob: (job: string) => ArtifactsJob | undefined;
  /** Whether this attempt holds its task's lease now. */
  readonly isCurrent: (identity: TaskIdentity__Output) => boolean;
}

/** What tasks make; everything else under staging is the coordinator's own. */
const TASK_OUTPUT = /^(calibration|evaluation|hessians|layers|snapshots)\/[^.]/;

/** Transfers under way over all connections. Each holds some MiB of chunks; workers wait and try again. */
const TRANSFERS_MAX = 512;

export function createArtifactsService(context: ArtifactsContext): ArtifactsHandlers & UntypedServiceImplementation {
  const transfers = new CallLimit('transfers of files', TRANSFERS_MAX, 'Unavailable');
  return {
    Read: handleServerStream(async function* (request: ReadArtifactRequest__Output) {
      const leave = transfers.enter();
      try {
        yield* readRange(context, request);
      } finally {
        leave();
      }
    }),
    Write: handleClientStream(async (requests: AsyncIterable<WriteArtifactRequest__Output>) => {
      const leave = transfers.enter();
      return writeFile(context, requests).finally(leave);
    }),
  };
}

/** The asked range, chunk by chunk; the file is closed when the last is sent or the reader is gone. */
async function* readRange(
  context: ArtifactsContext,
  request: ReadArtifactRequest__Output,
): AsyncGenerator<ArtifactChunk> {
  const { file, offset, length } = request;
  if (!file) throw new SecateurError('ArgumentInvalid', 'Artifacts.Read: expected a file; found none');
  const job = jobOf(context, request.job);
  checkListed(file, job);
  const { path, sizeBytes } = await locateFile(file, job);
  const label = refLabel(file);
  const end = length === 0 ? sizeBytes : offset + length;
  if (offset > sizeBytes || end > sizeBytes) {
    throw new SecateurError(
      'ArgumentInvalid',
      `${label}: expected a range within its ${sizeBytes} bytes; found ${offset} to ${end}`,
      { details: { file: label, sizeBytes, offset, end } },
    );
  }
  const handle = await openRegular(path);
  try {
    yield* readChunks(handle, { offset, length: end - offset }, label);
  } finally {
    await handle.close();
  }
}

/** A file that was exchanged for a link or a pipe since it was looked at is an error, not something to follow or wait for. */
async function openRegular(path: string): Promise<FileHandle> {
  try {
    return await open(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
}

async function writeFile(
  context: ArtifactsContext,
  requests: AsyncIterable<WriteArtifactRequest__Output>,
): Promise<WriteArtifactResponse> {
  const messages = requests[Symbol.asyncIterator]();
  const header = headerOf(await messages.next());
  const { identity, file } = header;
  const job = jobOf(context, identity.job);
  const { name, sizeBytes, sha256 } = checkWritable(file);
  checkCurrent(context, identity);
  await checkRoom(job.stagingDirectory, sizeBytes, name);
  const temporary = await temporaryStagingPath(job.stagingDirectory, name);
  try {
    const found = await receive(messages, temporary, sizeBytes, refLabel(file));
    if (found !== sha256) {
      throw new SecateurError('ChecksumMismatch', `${refLabel(file)}: expected SHA-256 ${sha256}; received ${found}`, {
        retryable: true,
        details: { file: refLabel(file), expected: sha256, found },
      });
    }
    checkCurrent(context, identity);
    reach('coordinator.upload-received');
    await commitStagingFile(temporary, job.stagingDirectory, name);
  } catch (thrown) {
    await rm(temporary, { force: true });
    throw toSecateurError(thrown);
  }
  return { file: { root: 'FILE_ROOT_STAGING', name, sizeBytes, sha256 } };
}

/** @returns the SHA-256 of what came, which was `sizeBytes` long */
async function receive(
  messages: AsyncIterator<WriteArtifactRequest__Output>,
  temporary: string,
  sizeBytes: number,
  label: string,
): Promise<string> {
  const digest = createHash('sha256');
  const handle = await open(temporary, 'wx');
  try {
    let position = 0;
    for (let next = await messages.next(); !next.done; next = await messages.next()) {
      const { chunk } = next.value;
      if (!chunk) throw new SecateurError('ArgumentInvalid', `${label}: expected a chunk after the header`);
      const data = checkChunk(chunk, position, sizeBytes, label);
      digest.update(data);
      await writeFully(handle, data, position, temporary);
      reach('coordinator.upload-received-part');
      position += data.length;
    }
    if (position !== sizeBytes) {
      throw new SecateurError(
        'ChecksumMismatch',
        `${label}: expected ${sizeBytes} bytes; the stream ended at ${position}`,
        {
          retryable: true,
          details: { file: label, expected: sizeBytes, found: position },
        },
      );
    }
  } finally {
    await handle.close();
  }
  return digest.digest('hex');
}

interface CheckedHeader {
  readonly identity: TaskIdentity__Output;
  readonly file: FileRef__Output;
}

function headerOf(first: IteratorResult<WriteArtifactRequest__Output>): CheckedHeader {
  const header: WriteArtifactHeader__Output | null | undefined = first.done ? undefined : first.value.header;
  if (header?.identity && header.file) return { identity: header.identity, file: header.file };
  throw new SecateurError(
    'ArgumentInvalid',
    'Artifacts.Write: expected a header with identity and file as the first message',
  );
}

function jobOf(context: ArtifactsContext, id: string): ArtifactsJob {
  const job = context.resolveJob(id);
  if (job !== undefined) return job;
  throw new SecateurError('JobNotFound', `job ${JSON.stringify(id)}: not known here, or its inputs are not read yet`, {
    details: { job: id },
  });
}

function checkListed(file: FileRef__Output, job: ArtifactsJob): void {
  if (file.root !== 'FILE_ROOT_SOURCE' || job.sourceFiles.has(checkFileName(file.name))) return;
  throw new SecateurError(
    'SourceMissing',
    `${refLabel(file)}: no file of this job's source. Its files were listed when the job began.`,
    {
      details: { file: refLabel(file) },
    },
  );
}

function checkWritable(file: FileRef__Output): { name: string; sizeBytes: number; sha256: string } {
  const checked = checkStagedRef(file);
  if (TASK_OUTPUT.test(checked.name)) return checked;
  throw new SecateurError(
    'ArgumentInvalid',
    `${refLabel(file)}: a task writes calibration/…, evaluation/…, hessians/…, layers/… and snapshots/…, nothing else`,
  );
}

function checkCurrent(context: ArtifactsContext, identity: TaskIdentity__Output): void {
  if (context.isCurrent(identity)) return;
  const { task, attempt, epoch } = identity;
  throw new SecateurError(
    'StaleEpoch',
    `task ${task}, lease ${attempt}, epoch ${epoch}: does not hold its lease (any more); what it made is not taken`,
    { details: { task, attempt, epoch } },
  );
}

/** Refuses early what cannot fit; that the disk fills up meanwhile is noticed by the write that fails. */
async function checkRoom(directory: string, sizeBytes: number, name: string): Promise<void> {
  const { bavail, bsize } = await statfs(directory).catch((thrown: unknown) => {
    throw toSecateurError(thrown);
  });
  if (sizeBytes <= bavail * bsize) return;
  throw new SecateurError(
    'StorageFull',
    `${directory}: ${name} needs ${sizeBytes} bytes; ${bavail * bsize} are free. Free space on that file system, then resume the job.`,
    { details: { directory, sizeBytes, freeBytes: bavail * bsize } },
  );
}
