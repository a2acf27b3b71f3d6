/** A manifest file as the user names it: read, checked, overridden by --set, its locations made absolute. */
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { parseManifest } from '../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../shared/manifest/schema.ts';

/** Read at most: one byte more than the parser takes, so that it says what is wrong with a longer file. */
const READ_BYTES_MAX = 1024 * 1024 + 1;

/** @throws ManifestInvalid; SourceMissing where there is no such file */
export async function loadManifest(file: string, set: readonly string[]): Promise<Manifest> {
  return resolveLocations(parseManifest(await readText(file), file, { set }), dirname(resolve(file)));
}

async function readText(file: string): Promise<string> {
  try {
    const handle = await open(file, 'r');
    try {
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(READ_BYTES_MAX), 0, READ_BYTES_MAX, 0);
      return buffer.toString('utf8', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (cause) {
    throw new SecateurError(
      'SourceMissing',
      `manifest ${file}: expected a YAML file; ${(cause as Error).message}. Check the path.`,
      { cause, details: { file } },
    );
  }
}
