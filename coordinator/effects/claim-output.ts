/**
 * Takes an output directory for one job. A directory that already holds something is refused, never mixed into; the
 * claim is one exclusive file creation, so of two jobs that race for a directory one loses.
 */
import { randomBytes } from 'node:crypto';
import { link, readdir, readFile, realpath, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PROVENANCE_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { rethrowPassing, SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { makeDirectory } from '../../shared/storage/make-directory.ts';
import { type OutputPaths, outputPaths, PROBE_FILE_NAME, STAGING_FOLDER } from './job-paths.ts';

const DRAFT_PREFIX = '.claim-';

/**
 * @param isResumed the job has written to its staging folder before: then it must still be there
 * @throws OutputExists when the directory holds anything that is not this job's; StorageFailed when a resumed job's
 * staging folder is gone
 */
export async function claimOutput(paths: OutputPaths, job: string, isResumed = false): Promise<void> {
  if ((await publishedJob(paths)) === job) return;
  await checkOutputIsFree(paths, job);
  if (isResumed && (await claimOwner(paths)) !== job) {
    throw new SecateurError(
      'StorageFailed',
      `${paths.staging}: expected the committed layers of job ${job}; the folder is gone. It cannot go on without them: submit the manifest as a new job.`,
      { details: { staging: paths.staging } },
    );
  }
  await makeDirectory(join(paths.staging, 'layers'), 'spec.output.destination');
  reach('coordinator.output-unclaimed');
  await takeClaim(paths, job);
  await writeFile(join(paths.staging, PROBE_FILE_NAME), job, { flush: true });
  await fsyncDirectory(paths.staging);
  await fsyncDirectory(paths.output);
  reach('coordinator.output-claimed');
}

/** Written whole under another name, then linked: the claim appears complete, and for one job only. */
async function takeClaim(paths: OutputPaths, job: string): Promise<void> {
  const draft = join(paths.staging, `${DRAFT_PREFIX}${randomBytes(6).toString('hex')}`);
  await writeFile(draft, `${JSON.stringify({ job })}\n`, { flush: true });
  try {
    await link(draft, paths.claim);
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw toSecateurError(thrown);
    const owner = await claimOwner(paths);
    if (owner !== job) throw outputExists(paths.output, `it is being written by job ${owner ?? '(unreadable claim)'}`);
  } finally {
    await rm(draft, { force: true });
  }
}

/** The job that a directory belongs to: by its claim, or by the provenance of the finished checkpoint. */
export async function ownerOf(paths: OutputPaths): Promise<string | null> {
  return (await claimOwner(paths)) ?? (await publishedJob(paths));
}

/** The job whose finished checkpoint this is; null where there is none. */
async function publishedJob(paths: OutputPaths): Promise<string | null> {
  try {
    const provenance = JSON.parse(await readFile(join(paths.output, PROVENANCE_FILE), 'utf8')) as {
      job?: { id?: string };
    };
    return (await claimOwner(paths)) === null ? (provenance.job?.id ?? null) : null;
  } catch (thrown) {
    rethrowPassing(thrown);
    return null; // Absent, or another program's file of that name: the checks that follow say what is in the way.
  }
}

/** The check alone, for `plan`. */
export async function checkOutputIsFree(paths: OutputPaths, job: string | null): Promise<void> {
  await checkOutsideOthers(paths.output);
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
  if (owner === null && (await isUnfinishedClaim(paths, entries))) return;
  if (owner !== null) throw outputExists(paths.output, `it is being written by job ${owner}`);
  const shown = entries.slice(0, 3).join(', ');
  throw outputExists(
    paths.output,
    `it holds ${entries.length} ${entries.length === 1 ? 'entry' : 'entries'} (${shown}${entries.length > 3 ? ', …' : ''})`,
  );
}

/**
 * A destination inside what another job writes, its staging folder say, would be moved or removed with that. The other way
 * round, a folder with another job's output in it is not empty.
 */
async function checkOutsideOthers(output: string): Promise<void> {
  for (let folder = await realParent(output); ; folder = dirname(folder)) {
    const owner = await claimOwner(outputPaths(folder)).catch((thrown: unknown) => {
      rethrowPassing(thrown);
      return null; // A folder that this user may not look into.
    });
    if (owner !== null) {
      throw new SecateurError(
        'OutputExists',
        `spec.output.destination ${output}: it lies inside ${folder}, which job ${owner} writes to. Choose another destination.`,
        { details: { output, inside: folder, job: owner } },
      );
    }
    if (folder === dirname(folder)) return;
  }
}

/** The folder that a path is in, or the nearest above it that exists, without symbolic links. */
async function realParent(path: string): Promise<string> {
  const real = await realpath(path).catch(() => null);
  if (real !== null) return dirname(real);
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    const found = await realpath(folder).catch(() => null);
    if (found !== null) return found;
    if (folder === dirname(folder)) return folder;
  }
}

/** What a crash between the first folder and the claim leaves: a staging folder in which nobody has written anything. */
async function isUnfinishedClaim(paths: OutputPaths, entries: readonly string[]): Promise<boolean> {
  if (entries.length !== 1 || entries[0] !== STAGING_FOLDER) return false;
  const held = await readdir(paths.staging);
  if (!held.every((name) => name === 'layers' || name === PROBE_FILE_NAME || name.startsWith(DRAFT_PREFIX)))
    return false;
  const layers = await readdir(join(paths.staging, 'layers')).catch((thrown: unknown) => {
    rethrowPassing(thrown);
    return [];
  });
  return layers.length === 0;
}

/** The job that the staging folder names; null where there is none. */
async function claimOwner(paths: OutputPaths): Promise<string | null> {
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
