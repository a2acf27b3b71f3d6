/** A file that is being made for staging, and goes again when its making fails: a full disk must not stay full of it. */
import { rm } from 'node:fs/promises';
import type { JobFiles } from '../../shared/storage/job-files.ts';

export async function withScratch<T>(files: JobFiles, name: string, make: (scratch: string) => Promise<T>): Promise<T> {
  const scratch = await files.scratchPath(name);
  try {
    return await make(scratch);
  } catch (thrown) {
    await rm(scratch, { force: true });
    throw thrown;
  }
}
