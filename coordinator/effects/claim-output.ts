/**
 * Takes an output directory for one job. A directory that already holds something is refused, never mixed into; the
 * claim is one exclusive file creation, so of two jobs that race for a directory one loses.
 */
import { randomBytes } from 'node:crypto';
import { access, constants, link, readdir, readFile, realpath, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { PROVENANCE_FILE } from '../../shared/checkpoint/provenance-name.ts';
import { rethrowPassing, SecateurError, toSecateurError } from '../../shared/errors/secateur-error.ts';
import { reach } from '../../shared/failpoint.ts';
import { fsyncDirectory } from '../../shared/storage/atomic-file.ts';
import { makeDirectory, nearestThere } from '../../shared/storage/make-directory.ts';
import { type OutputPaths, outputPaths, PROBE_FILE_NAME, STAGING_FOLDER } from './job-paths.ts';

const DRAFT_PREFIX = '.claim-';

/** The phase of a job that is known; undefined for one that is another coordinator's, or nobody's any more. */
export type PhaseOf = (job: string) => string | undefined;

const NOBODY_KNOWS: PhaseOf = () => undefined;
const ENDED: ReadonlySet<string> = new Set(['Succeeded', 'Failed', 'Cancelled']);

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
    if (owner !== job) throw claimed(paths.output, owner ?? '(unreadable claim)', NOBODY_KNOWS);
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

/** @throws OutputExists, saying whose the directory is and what can be done */
export async function checkOutputIsFree(
  paths: OutputPaths,
  job: string | null,
  phaseOf: PhaseOf = NOBODY_KNOWS,
): Promise<void> {
  const { output } = paths;
  await checkOutsideOthers(output);
  const there = await nearestThere(output);
  if (!there.isDirectory) {
    const found = there.path === output ? 'it is no directory' : `${there.path} is no directory`;
    throw outputExists(output, `expected an empty or absent directory; ${found}. Choose another destination.`);
  }
  const entries = there.path === output ? await readdir(output) : [];
  if (entries.length === 0) return;
  const owner = await claimOwner(paths);
  if (owner !== null && owner === job) return;
  if (owner === null && (await isUnfinishedClaim(paths, entries))) return;
  if (owner !== null) throw claimed(output, owner, phaseOf);
  const publisher = await publishedJob(paths);
  if (publisher !== null) {
    throw outputExists(
      output,
      `already done by job ${publisher}, whose checkpoint is there ("secateur verify ${output}" proves it). To prune anew, choose another destination (--set spec.output.destination=DIR), or remove that directory first.`,
    );
  }
  const shown = entries.slice(0, 3).join(', ');
  const count = `${entries.length} ${entries.length === 1 ? 'entry' : 'entries'}`;
  throw outputExists(
    output,
    `expected an empty or absent directory; it holds ${count} (${shown}${entries.length > 3 ? ', …' : ''}). Choose another destination, or remove what is there.`,
  );
}

/**
 * What stands in the way of a job that began now, before it has: nothing is written, so the system is asked instead.
 *
 * @throws OutputExists; StorageFailed where the destination cannot be written
 */
export async function checkDestination(paths: OutputPaths, phaseOf: PhaseOf): Promise<void> {
  await checkOutputIsFree(paths, null, phaseOf);
  const { path } = await nearestThere(paths.output);
  await access(path, constants.W_OK | constants.X_OK).catch((thrown: unknown) => {
    const { message } = toSecateurError(thrown);
    throw new SecateurError('StorageFailed', `spec.output.destination ${paths.output} cannot be written: ${message}`);
  });
}

/** The same for `plan`, to which it is a warning; null where nothing is in the way. */
export async function destinationProblem(paths: OutputPaths, phaseOf: PhaseOf): Promise<string | null> {
  return checkDestination(paths, phaseOf).then(
    () => null,
    (thrown: unknown) => toSecateurError(thrown).message,
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
  const held = await readdir(paths.staging).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code === 'ENOTDIR') return null; // A file of that name.
    throw toSecateurError(thrown);
  });
  if (held === null) return false;
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
    const error = toSecateurError(thrown);
    if (error.code === 'SourceMissing' || thrown instanceof SyntaxError) return null;
    throw error;
  }
}

/** Never the advice to remove what a job that may be running writes. */
function claimed(output: string, job: string, phaseOf: PhaseOf): SecateurError {
  const phase = phaseOf(job);
  if (phase === undefined) {
    return outputExists(
      output,
      `it belongs to job ${job}, which is not known here: go on with it where it was begun ("secateur resume ${job}", or the same "secateur run"), or choose another destination. It may be running: remove the directory only if no coordinator has that job any more.`,
    );
  }
  if (ENDED.has(phase)) {
    return outputExists(
      output,
      `it belongs to job ${job} (${phase}): "secateur resume ${job}" goes on from what that job has committed. Or choose another destination; or, to give that job up, remove the directory.`,
    );
  }
  return outputExists(
    output,
    `job ${job} (${phase}) writes there. Wait for it, cancel it ("secateur cancel ${job}"), or choose another destination.`,
  );
}

function outputExists(output: string, why: string): SecateurError {
  return new SecateurError('OutputExists', `spec.output.destination ${output}: ${why}`, { details: { output } });
}
