/** Which files stand in an output directory, against those that `secateur.json` lists. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { PROVENANCE_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { SecateurError } from '../../shared/errors/secateur-error.ts';
import { checkFileName } from '../../shared/storage/file-ref.ts';
import type { Provenance } from './provenance-file.ts';

/** Where a job that has not been published keeps its files. */
const STAGING_FOLDER = '.secateur';

export interface FileCheck {
  /** Listed, there, and of the listed size: worth reading. */
  readonly sound: Provenance['outputs'];
  readonly deviations: readonly string[];
}

/** @throws SourceMissing where there is no such directory; VerificationFailed where it is still being written */
export async function checkIsPublished(directory: string): Promise<void> {
  const entries = await listDirectory(directory);
  if (!entries.includes(STAGING_FOLDER)) return;
  throw new SecateurError(
    'VerificationFailed',
    `${directory}: it is not finished: ${STAGING_FOLDER} is there, ${await claimText(directory)}. Verify it when its job has succeeded. A job that failed, was cancelled or was interrupted goes on with "secateur resume JOB" (begun with submit), or with the same "secateur run".`,
    { details: { directory } },
  );
}

/** @throws VerificationFailed where the record names files outside the directory */
export async function checkFiles(directory: string, provenance: Provenance): Promise<FileCheck> {
  const deviations: string[] = [];
  const sound: Provenance['outputs'] = [];
  const listed = new Set([PROVENANCE_FILE]);
  for (const output of provenance.outputs) {
    const { file, sizeBytes } = output;
    listed.add(checkFileName(file));
    const found = await stat(join(directory, file)).catch((thrown: NodeJS.ErrnoException) => thrown.code ?? 'error');
    if (typeof found === 'string') deviations.push(`${file}: missing (${found})`);
    else if (!found.isFile()) deviations.push(`${file}: expected a file`);
    else if (found.size !== sizeBytes) deviations.push(`${file}: expected ${sizeBytes} bytes, found ${found.size}`);
    else sound.push(output);
  }
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  for (const entry of entries) {
    const file = relative(directory, join(entry.parentPath, entry.name));
    if (!entry.isDirectory() && !listed.has(file)) deviations.push(`${file}: not in ${PROVENANCE_FILE}`);
  }
  return { sound, deviations };
}

async function listDirectory(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (cause) {
    throw new SecateurError(
      'SourceMissing',
      `${directory}: expected a directory with a pruned checkpoint; ${(cause as Error).message}. Check the path.`,
      { cause, details: { directory } },
    );
  }
}

async function claimText(directory: string): Promise<string> {
  const claim = await readFile(join(directory, STAGING_FOLDER, 'job.json'), 'utf8').catch(() => '');
  const job = /"job":\s*"([^"]+)"/.exec(claim)?.[1];
  return job === undefined ? 'of an unknown job' : `of job ${job}`;
}
