/** Directories made one component at a time. Node's own recursive mkdir never returns where a parent answers ENOENT for ever. */
import { mkdir, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { SecateurError, toSecateurError } from '../errors/secateur-error.ts';

/**
 * @param what the setting that named the directory, for the message
 * @throws StorageFailed, StorageFull naming the setting and the path
 */
export async function makeDirectory(path: string, what: string): Promise<void> {
  const missing: string[] = [];
  for (let each = path; !(await exists(each)) && each !== dirname(each); each = dirname(each)) missing.push(each);
  for (const each of missing.reverse()) {
    try {
      await mkdir(each);
    } catch (thrown) {
      // Somebody else made it meanwhile.
      if ((thrown as NodeJS.ErrnoException).code === 'EEXIST') continue;
      const { code, message, details, retryable } = toSecateurError(thrown);
      throw new SecateurError(
        code === 'StorageFull' ? code : 'StorageFailed',
        `${what}: the directory ${path} cannot be made: ${message}${code === 'SourceMissing' ? '. Choose another directory.' : ''}`,
        { cause: thrown, details, retryable },
      );
    }
  }
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
