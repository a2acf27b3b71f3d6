/** A manifest file as the user names it: read, checked, overridden by --set, its locations made absolute. */
import { open } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { SecateurError } from '../shared/errors/secateur-error.ts';
import { locateErrors, parseManifest } from '../shared/manifest/parse-manifest.ts';
import { resolveLocations } from '../shared/manifest/resolve-locations.ts';
import type { Manifest } from '../shared/manifest/schema.ts';

/** Read at most: one byte more than the parser takes, so that it says what is wrong with a longer file. */
const READ_BYTES_MAX = 1024 * 1024 + 1;

/** @throws ManifestInvalid; SourceMissing where there is no such file */
async function loadManifest(file: string, set: readonly string[]): Promise<Manifest> {
  return resolveLocations(parseManifest(await readText(file), file, { set }), dirname(resolve(file)));
}

/** Does something with a manifest; mistakes that only the model or the files show get their places in the text too. */
export async function withManifest<T>(
  file: string,
  set: readonly string[],
  use: (manifest: Manifest) => Promise<T>,
): Promise<T> {
  const manifest = await loadManifest(file, set);
  try {
    return await use(manifest);
  } catch (thrown) {
    throw locateErrors(thrown, await readText(file), file, set);
  }
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
