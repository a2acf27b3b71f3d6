/**
 * Files of the staging folder come to be in two steps: written under a temporary name beside their place (so on the same
 * file system), then made durable and renamed. A name under staging therefore is a whole file or does not exist.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, realpath, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';
import { reach } from '../failpoint.ts';
import { fsyncDirectory } from './atomic-file.ts';
import { checkFileName } from './file-ref.ts';

const TEMPORARY_PREFIX = '.tmp-';
/** A temporary file that nobody has written to for this long was left by a process that died. */
const ABANDONED_AFTER_MS = 15 * 60 * 1000;

/**
 * @returns a path for `name` to be written at; unique, not created, its folder made and rid of what the dead left
 * @throws ArgumentInvalid (the name, or a link that leads out of staging), StorageFailed, StorageFull
 */
export async function temporaryStagingPath(stagingDirectory: string, name: string): Promise<string> {
  try {
    const { path, folders } = await placeOf(stagingDirectory, name);
    const folder = folders[0] as string;
    await removeAbandoned(folder);
    return join(folder, `${TEMPORARY_PREFIX}${basename(path)}-${randomBytes(6).toString('hex')}`);
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
}

/**
 * Puts a written file in its place: fsync, rename, fsync of every folder from there up to the staging folder.
 *
 * @throws as `temporaryStagingPath`
 */
export async function commitStagingFile(temporary: string, stagingDirectory: string, name: string): Promise<void> {
  try {
    const { path, folders } = await placeOf(stagingDirectory, name);
    reach('storage.staged-unsynced');
    const handle = await open(temporary, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    reach('storage.staged-synced');
    await rename(temporary, path);
    reach('storage.staged-renamed');
    for (const folder of folders) await fsyncDirectory(folder);
    reach('storage.staged-durable');
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
}

/** The name's path, and the folders on its way from the innermost up to staging, which are made where they are missing. */
async function placeOf(stagingDirectory: string, name: string): Promise<{ path: string; folders: string[] }> {
  const staging = await realpath(stagingDirectory);
  const path = join(staging, checkFileName(name));
  const folders: string[] = [];
  for (let folder = dirname(path); folder !== staging; folder = dirname(folder)) folders.push(folder);
  for (const folder of folders.toReversed()) {
    await mkdir(folder).catch(ignoreExisting);
    const real = await realpath(folder);
    if (real !== folder) {
      throw new SecateurError(
        'ArgumentInvalid',
        `${folder}: expected a folder of ${staging}; found a link to ${real}`,
        {
          details: { folder, real },
        },
      );
    }
  }
  return { path, folders: [...folders, staging] };
}

function ignoreExisting(thrown: unknown): void {
  if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
}

async function removeAbandoned(folder: string): Promise<void> {
  const abandonedBeforeMs = Date.now() - ABANDONED_AFTER_MS;
  for (const entry of await readdir(folder)) {
    if (!entry.startsWith(TEMPORARY_PREFIX)) continue;
    const path = join(folder, entry);
    // Others may be renaming or removing it right now.
    const found = await stat(path).catch(() => null);
    if (found !== null && found.mtimeMs < abandonedBeforeMs) await rm(path, { force: true });
  }
}
