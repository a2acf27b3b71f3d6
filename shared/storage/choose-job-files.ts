/**
 * Whether a worker uses a job's files in place or through the coordinator. In place needs proof: the probe file that the
 * coordinator wrote into the staging folder is there with its content (so it is the same folder, not one of the same
 * name), the folder can be written, and every input can be seen.
 */
import { constants } from 'node:fs';
import { access, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import { createClient } from '../rpc/channel.ts';
import type { FileRef } from '../rpc/generated/secateur/v1/FileRef.ts';
import type { JobContext__Output } from '../rpc/generated/secateur/v1/JobContext.ts';
import { isSynthetic } from '../synthetic/synthetic-location.ts';
import { CoordinatorJobFiles } from './coordinator-job-files.ts';
import { DirectJobFiles } from './direct-job-files.ts';
import { checkFileName, locateFile } from './file-ref.ts';
import type { JobFiles } from './job-files.ts';
import { SyntheticJobFiles } from './synthetic-job-files.ts';

/** Above two layers of the largest models in bfloat16, with their tables. */
const CACHE_SIZE_BYTES_MAX = 64 * 1024 ** 3;
/** In the cache's folder: what is made there is no copy of anything. */
const SYNTHETIC_FOLDER = 'synthetic';
/** A coordinator's restart, and what an orchestrator needs to begin it. */
const PATIENCE_MS = 120_000;

export interface JobFilesChoice {
  readonly context: JobContext__Output;
  /** host:port */
  readonly coordinator: string;
  readonly storage: 'auto' | 'direct' | 'coordinator';
  /** Nobody else's; used only where files go through the coordinator. */
  readonly cacheDirectory: string;
  readonly cacheSizeBytesMax?: number;
  /** Files that the first task names: those of the source must be seen with the right size, or nothing is in place. */
  readonly expectedFiles?: readonly FileRef[];
}

/** @throws StorageFailed where `direct` was asked for and the files cannot be used in place: it says which */
export async function chooseJobFiles(choice: JobFilesChoice): Promise<JobFiles> {
  const files = await filesOfJob(choice);
  const { sourceDirectory } = choice.context;
  if (!isSynthetic(sourceDirectory)) return files;
  return SyntheticJobFiles.open(files, sourceDirectory, join(choice.cacheDirectory, SYNTHETIC_FOLDER));
}

/** Those that are files, here or at the coordinator. */
async function filesOfJob(choice: JobFilesChoice): Promise<JobFiles> {
  const { context, storage } = choice;
  if (storage === 'coordinator') return throughCoordinator(choice);
  const obstacle = await whyNotDirect(context, choice.expectedFiles ?? []);
  if (obstacle === null) return new DirectJobFiles(context);
  if (storage === 'auto') return throughCoordinator(choice);
  throw new SecateurError(
    'StorageFailed',
    `storage "direct" was asked for, but this worker cannot use the files of job ${context.job} in place: ${obstacle}. Mount them at the same paths as on the coordinator, or let the worker go through the coordinator (--storage auto).`,
    { details: { job: context.job, obstacle } },
  );
}

async function throughCoordinator(choice: JobFilesChoice): Promise<JobFiles> {
  const { context, coordinator, cacheDirectory, cacheSizeBytesMax = CACHE_SIZE_BYTES_MAX } = choice;
  const client = createClient(coordinator, 'Artifacts');
  const peer = { client, job: context.job, patienceMs: PATIENCE_MS };
  return CoordinatorJobFiles.open({ peer, cacheDirectory, cacheSizeBytesMax });
}

/** Null where nothing is in the way. */
async function whyNotDirect(context: JobContext__Output, expected: readonly FileRef[]): Promise<string | null> {
  const { stagingDirectory, sourceDirectory, calibrationFiles, evaluationFiles, probeName, probeContent } = context;
  const probe = join(stagingDirectory, checkFileName(probeName));
  try {
    const found = await readFile(probe, 'utf8');
    if (found !== probeContent) return `${probe}: expected ${JSON.stringify(probeContent)}; found another job's folder`;
    await access(stagingDirectory, constants.W_OK);
    // What is made where it is needed is in place everywhere.
    const isMade = isSynthetic(sourceDirectory);
    if (!isMade && !(await stat(sourceDirectory)).isDirectory()) return `${sourceDirectory}: expected a directory`;
    for (const index of calibrationFiles.keys()) {
      await locateFile({ root: 'FILE_ROOT_CALIBRATION', name: String(index) }, context);
    }
    for (const index of evaluationFiles.keys()) {
      await locateFile({ root: 'FILE_ROOT_EVALUATION', name: String(index) }, context);
    }
    // What is wrong with a staged file is wrong with that file: the probe has shown that the folder is the job's.
    for (const ref of expected) {
      if (ref.root === 'FILE_ROOT_STAGING' || (isMade && ref.root === 'FILE_ROOT_SOURCE')) continue;
      await locateFile(ref, context);
    }
    return null;
  } catch (thrown) {
    return toSecateurError(thrown).message;
  }
}
