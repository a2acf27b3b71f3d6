/** What a job would do, and on what: for `plan`, with a coordinator or without. Reads the inputs, changes nothing. */
import { statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { toSecateurError } from '../../shared/errors/secateur-error.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';
import { planJob } from '../core/plan.ts';
import type { JobIntake, Plan } from '../core/state.ts';
import { checkOutputIsFree } from './claim-output.ts';
import { outputPaths } from './job-paths.ts';
import { readIntake } from './read-intake.ts';

export interface PlanPreview {
  readonly plan: Plan;
  readonly intake: JobIntake;
  readonly workers: readonly string[];
  /** On the file system of the destination. */
  readonly freeBytes: number;
}

/** @throws what `readIntake` and the claim of the output would */
export async function previewPlan(manifest: Manifest, workers: readonly string[]): Promise<PlanPreview> {
  const intake = await readIntake(manifest);
  await checkOutputIsFree(outputPaths(intake.outputDirectory), null);
  return {
    plan: planJob(manifest, intake, []),
    intake,
    workers,
    freeBytes: await freeBytesAt(intake.outputDirectory),
  };
}

/** On the file system that a folder is, or will be, on. */
async function freeBytesAt(directory: string): Promise<number> {
  for (let path = directory; ; path = dirname(path)) {
    try {
      const found = await statfs(path);
      return found.bavail * found.bsize;
    } catch (thrown) {
      if (path === dirname(path)) throw toSecateurError(thrown);
    }
  }
}
