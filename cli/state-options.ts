/** Options of the verbs that can read a state folder themselves, where no coordinator answers. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { destinationPath } from '../shared/manifest/resolve-locations.ts';
import { withManifest } from './load-manifest.ts';
import { withSet } from './options.ts';
import { defaultStateDirectory } from './run/state-directory.ts';

export interface StateOptions {
  readonly state?: string;
  readonly manifest?: string;
  readonly set: readonly string[];
}

export function withState(command: Command): Command {
  return withSet(
    command
      .addOption(new Option('--state <dir>', 'read this state folder, without a coordinator'))
      .addOption(
        new Option('--manifest <file>', 'read the state folder of "secateur run" for this manifest').conflicts('state'),
      ),
    'with --manifest: what the run was given with --set; may be given again',
  );
}

/**
 * @returns null where a coordinator is to be asked
 * @throws SourceMissing where no run has kept anything for that manifest, in the words of the one who asks: the folder's
 * name is nothing that anybody typed
 */
export async function stateDirectoryOf(options: StateOptions): Promise<string | null> {
  const { state, manifest: file, set } = options;
  if (file === undefined && set.length > 0)
    throw new SecateurError('ArgumentInvalid', '--set belongs to --manifest, and there is none.');
  if (state !== undefined) return resolve(state);
  if (file === undefined) return null;
  return withManifest(file, set, async (manifest) => {
    const directory = defaultStateDirectory(manifest, process.env);
    if (existsSync(directory)) return directory;
    const destination = destinationPath(manifest.spec.output.destination);
    throw new SecateurError(
      'SourceMissing',
      `manifest ${file}: no "secateur run" of it to ${destination} has kept anything (there is no ${directory}). A run that was given --set or --state needs the same here.`,
      { details: { file, destination, directory } },
    );
  });
}

/** A state folder may leave the job out, and means its latest then; a coordinator has the jobs of many people. */
export function needsJob(job: string | undefined): string {
  if (job !== undefined) return job;
  throw new SecateurError('ArgumentInvalid', "missing required argument 'job'. It may be left out with --state.");
}
