/**
 * Takes an output directory for one job. A directory that already holds something is refused, never mixed into; the
 * claim is one exclusive file creation, so of two jobs that race for a directory one loses.
 */
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { type JobPaths, PROBE_FILE_NAME, STAGING_FOLDER } from './job-paths.ts';

/** @throws OutputExists when the directory holds anything that is not this job's. */
export async function claimOutput(paths: JobPaths, job: string): Promise<void> {
  await checkOutputIsFree(paths, job);
  await mkdir(join(paths.staging, 'layers'), { recursive: true });
  try {
    await writeFile(paths.claim, `${JSON.stringify({ job })}\n`, { flag: 'wx', flush: true });
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw toSecateurError(thrown);
    const owner = await claimOwner(paths);
    if (owner !== job) throw outputExists(paths.output, `it is being written by job ${owner ?? '(unreadable claim)'}`);
  }
  await writeFile(join(paths.staging, PROBE_FILE_NAME), job, { flush: true });
  await fsyncDirectory(paths.staging);
  await fsyncDirectory(paths.output);
}

/** The check alone, for `plan`. */
export async function checkOutputIsFree(paths: JobPaths, job: string | null): Promise<void> {
  let entries: string[];
  try {
    if (!(await stat(paths.output)).isDirectory()) throw outputExists(paths.output, 'it is no directory');
    entries = await readdir(paths.output);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT') return;
    throw toSecateurError(thrown);
  }
  if (entries.length === 0) return;
  const owner = await claimOwner(paths);
  if (owner !== null && owner === job) return;
  if (owner !== null) throw outputExists(paths.output, `it is being written by job ${owner}`);
  const shown = entries.slice(0, 3).join(', ');
  throw outputExists(
    paths.output,
    `it holds ${entries.length} ${entries.length === 1 ? 'entry' : 'entries'} (${shown}${entries.length > 3 ? ', …' : ''})`,
  );
}

/** The job that the staging folder names; null where there is none. */
export async function claimOwner(paths: JobPaths): Promise<string | null> {
  try {
    const claim = JSON.parse(await readFile(paths.claim, 'utf8')) as { job?: unknown };
    return typeof claim.job === 'string' ? claim.job : null;
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === 'ENOENT' || thrown instanceof SyntaxError) return null;
    throw toSecateurError(thrown);
  }
}

function outputExists(output: string, found: string): SecateurError {
  return new SecateurError(
    'OutputExists',
    `spec.output.destination ${output}: expected an empty or absent directory; ${found}. Choose another destination, or remove what is there (its ${STAGING_FOLDER} folder included, if nothing is to be resumed).`,
    { details: { output } },
  );
}
