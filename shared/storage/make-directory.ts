/** Directories made one component at a time. Node's own recursive mkdir never returns where a parent answers ENOENT for ever. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';

/**
 * @param what the setting that named the directory, for the message
 * @returns the first directory that had to be made; null where all were there
 * @throws StorageFailed, StorageFull naming the setting and the path
 */
export async function makeDirectory(path: string, what: string): Promise<string | null> {
  const missing = await missingOf(path, what);
  for (const each of missing) {
    try {
      await mkdir(each);
    } catch (thrown) {
      // Somebody else made it meanwhile, or a link that leads nowhere stands in its place.
      if ((thrown as NodeJS.ErrnoException).code === 'EEXIST' && (await isDirectory(each))) continue;
      throw cannotMake(path, what, thrown);
    }
  }
  return missing[0] ?? null;
}

/** A path or, where there is nothing, the nearest above it that there is. @throws what `stat` throws but for "not there" */
export async function nearestThere(path: string): Promise<{ readonly path: string; readonly isDirectory: boolean }> {
  for (let each = path; ; each = dirname(each)) {
    try {
      return { path: each, isDirectory: (await stat(each)).isDirectory() };
    } catch (thrown) {
      const { code } = thrown as NodeJS.ErrnoException;
      if ((code !== 'ENOENT' && code !== 'ENOTDIR') || each === dirname(each)) throw thrown;
    }
  }
}

/** From the top down. */
async function missingOf(path: string, what: string): Promise<string[]> {
  const found = await nearestThere(path).catch((thrown: unknown) => {
    throw cannotMake(path, what, thrown);
  });
  if (!found.isDirectory) {
    const file = found.path === path ? 'it' : found.path;
    throw new SecateurError(
      'StorageFailed',
      `${what}: the directory ${path} cannot be made: ${file} is no directory. ${ELSEWHERE}`,
      { details: { path } },
    );
  }
  const missing: string[] = [];
  for (let each = path; each !== found.path; each = dirname(each)) missing.unshift(each);
  return missing;
}

const ELSEWHERE = 'Choose another directory.';

function cannotMake(path: string, what: string, thrown: unknown): SecateurError {
  const { code, message, details, retryable } = toSecateurError(thrown);
  // The others say what to do.
  const todo = code === 'SourceMissing' || code === 'Internal' ? `. ${ELSEWHERE}` : '';
  return new SecateurError(
    code === 'StorageFull' ? code : 'StorageFailed',
    `${what}: the directory ${path} cannot be made: ${message}${todo}`,
    { cause: thrown, details, retryable },
  );
}

function isDirectory(path: string): Promise<boolean> {
  return stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
