/** Options of the verbs that can read a state folder themselves, where no coordinator answers. */
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { withManifest } from './load-manifest.ts';
import { defaultStateDirectory } from './run/state-directory.ts';

export interface StateOptions {
  readonly state?: string;
  readonly manifest?: string;
}

export function withState(command: Command): Command {
  return command
    .addOption(new Option('--state <dir>', 'read this state folder, without a coordinator'))
    .addOption(
      new Option('--manifest <file>', 'read the state folder of "secateur run" for this manifest').conflicts('state'),
    );
}

/** @returns null where a coordinator is to be asked */
export async function stateDirectoryOf(options: StateOptions): Promise<string | null> {
  if (options.state !== undefined) return resolve(options.state);
  if (options.manifest === undefined) return null;
  return withManifest(options.manifest, [], async (manifest) => defaultStateDirectory(manifest, process.env));
}

/** A state folder may leave the job out, and means its latest then; a coordinator has the jobs of many people. */
export function needsJob(job: string | undefined): string {
  if (job !== undefined) return job;
  throw new SecateurError('ArgumentInvalid', "missing required argument 'job'. It may be left out with --state.");
}
