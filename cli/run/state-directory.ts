/** Where `run` keeps what it needs to go on: one folder a destination, so that the same command finds it again. */
import { createHash } from 'node:crypto';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { destinationPath } from '../../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../../shared/manifest/schema.ts';

const DIGEST_LENGTH = 8;

/** `$XDG_STATE_HOME/secateur/runs/<name>-<first digits of the SHA-256 of the destination's path>` */
export function defaultStateDirectory(manifest: Manifest, env: NodeJS.ProcessEnv): string {
  const home = env.XDG_STATE_HOME;
  // The specification: a relative path there is to be ignored.
  const stateHome = home?.startsWith('/') ? home : join(homedir(), '.local', 'state');
  const destination = destinationPath(manifest.spec.output.destination);
  const digest = createHash('sha256').update(destination).digest('hex').slice(0, DIGEST_LENGTH);
  return join(stateHome, 'secateur', 'runs', `${manifest.metadata.name}-${digest}`);
}
