/** Manifests for tests: a valid text of which a test changes one line, and what parsing says. */

import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { parseManifest } from '../../../shared/manifest/parse-manifest.ts';

/** Lines 1 to 14; the tests' positions count from it. */
export const VALID = `apiVersion: secateur/v1
kind: PruneJob
metadata:
  name: job
spec:
  model:
    source: /models/llama
  output:
    destination: /out/llama
  calibration:
    text: [a.txt]
  pruning:
    method: wanda
    sparsity: 0.5
`;

/** VALID with one piece replaced; refuses a piece that is not there exactly once, so that no test changes nothing. */
export function changed(piece: string, replacement: string): string {
  if (VALID.split(piece).length !== 2)
    throw new Error(`the valid manifest has not exactly one ${JSON.stringify(piece)}`);
  return VALID.replace(piece, () => replacement);
}

/** The error lines of a manifest that must be refused. */
export function errorsOf(text: string, set: readonly string[] = []): string[] {
  try {
    parseManifest(text, 'job.yaml', { set });
  } catch (error) {
    if (!(error instanceof SecateurError) || error.code !== 'ManifestInvalid') throw error;
    const { errors } = error.details;
    if (!Array.isArray(errors) || errors.join('\n') !== error.message)
      throw new Error('details differ from the message');
    return [...errors];
  }
  throw new Error('the manifest was accepted');
}
