/**
 * Files of the staging folder come to be in two steps: written under a temporary name beside their place (so on the same
 * file system), then made durable and renamed. A name under staging therefore is a whole file or does not exist.
 */
import { randomBytes } from 'node:crypto';
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join, relative } from 'node:path';
import { toSecateurError } from '../errors/secateur-error.ts';
import { fsyncDirectory } from './atomic-file.ts';
import { checkFileName } from './file-ref.ts';

const TEMPORARY_PREFIX = '.tmp-';
/** A temporary file that nobody has written to for this long was left by a process that died. */
const ABANDONED_AFTER_MS = 15 * 60 * 1000;

/** @returns a path for `name` to be written at; unique, not created, its folder made and rid of what the dead left */
export async function temporaryStagingPath(stagingDirectory: string, name: string): Promise<string> {
  const path = join(stagingDirectory, checkFileName(name));
  const folder = dirname(path);
  await mkdir(folder, { recursive: true });
  await removeAbandoned(folder);
  return join(folder, `${TEMPORARY_PREFIX}${basename(path)}-${randomBytes(6).toString('hex')}`);
}

/** Puts a written file in its place: fsync, rename, fsync of every folder from there up to the staging folder. */
export async function commitStagingFile(temporary: string, stagingDirectory: string, name: string): Promise<void> {
  const path = join(stagingDirectory, checkFileName(name));
  try {
    await mkdir(dirname(path), { recursive: true });
    const handle = await open(temporary, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    for (let folder = dirname(path); ; folder = dirname(folder)) {
      await fsyncDirectory(folder);
      if (relative(stagingDirectory, folder) === '') return;
    }
  } catch (thrown) {
    throw toSecateurError(thrown);
  }
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
