/** A state folder: how it is made, and where jobs stand in it. What is in a job's own folder: effects/job-paths.ts. */
import { dirname, join, resolve } from 'node:path';
import { fsyncDirectory } from '../shared/storage/atomic-file.ts';
import { makeDirectory } from '../shared/storage/make-directory.ts';

/**
 * A folder that is gone after a power cut would take the journal with it: the names on the way are made durable.
 *
 * @throws StorageFailed, StorageFull
 */
export async function makeStateFolder(stateDirectory: string): Promise<void> {
  const firstMade = await makeDirectory(resolve(stateDirectory), 'the state folder (--state)');
  if (firstMade === null) return;
  const above = dirname(firstMade);
  for (let folder = dirname(resolve(stateDirectory)); ; folder = dirname(folder)) {
    await fsyncDirectory(folder);
    if (folder === above || folder === dirname(folder)) return;
  }
}

export function jobsFolder(stateDirectory: string): string {
  return join(stateDirectory, 'jobs');
}

export function jobFolder(stateDirectory: string, job: string): string {
  return join(jobsFolder(stateDirectory), job);
}

export function logsFolder(stateDirectory: string, job: string): string {
  return join(jobFolder(stateDirectory, job), 'logs');
}
