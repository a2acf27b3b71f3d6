/**
 * Where a model, an output or calibration data lies: a path or a file URL; for a model and for token ids also what is made
 * instead (shared/synthetic/synthetic-location.ts), for an output also `discard:` before the folder of the record. The one
 * place that knows which are taken.
 */

import { fileURLToPath } from 'node:url';
import { isSynthetic, syntheticProblem } from '../synthetic/synthetic-location.ts';

/** The scheme of a location, where it has one. */
export const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;
const DISCARD = 'discard:';

/** What a location is for: what is not a file goes with some of them only. */
export type LocationKind = 'model' | 'tokens' | 'output' | 'file';

/** What is wrong with a location, as a phrase that says what to do; undefined where it can be used. */
export function locationProblem(location: string, kind: LocationKind = 'file'): string | undefined {
  if (location === '') return 'it is empty';
  if (location.includes('\0')) return 'it has a NUL character';
  if (isSynthetic(location)) {
    if (kind === 'model' || kind === 'tokens') return syntheticProblem(location, kind);
    return 'only a model (spec.model.source) and token ids for calibration (spec.calibration.tokens) can be synthetic';
  }
  if (isDiscarded(location)) {
    if (kind !== 'output') return '"discard:" goes with spec.output.destination';
    const record = recordLocation(location);
    if (record === '') return 'name the folder for the record of the job behind it: discard:out/llama-65b';
    return locationProblem(record);
  }
  return fileProblem(location);
}

/** Whether the pruned layers are digested and thrown away. */
export function isDiscarded(destination: string): boolean {
  return destination.slice(0, DISCARD.length).toLowerCase() === DISCARD;
}

/** Whether a checkpoint comes of it; else the record of the job alone. */
export function isPublished(output: { readonly destination: string; readonly publish?: boolean | undefined }): boolean {
  return output.publish !== false && !isDiscarded(output.destination);
}

/** The folder of a destination: of the checkpoint, or of the record alone. */
export function recordLocation(destination: string): string {
  return isDiscarded(destination) ? destination.slice(DISCARD.length) : destination;
}

export function discardTo(folder: string): string {
  return `${DISCARD}${folder}`;
}

function fileProblem(location: string): string | undefined {
  const scheme = SCHEME.exec(location)?.[1]?.toLowerCase();
  if (scheme === undefined) {
    if (location.startsWith('~')) return `"~" is the shell's and not expanded here; write the absolute path`;
    return undefined;
  }
  if (scheme !== 'file') {
    return location.startsWith(`${scheme}://`)
      ? `${scheme}:// is not supported yet; supported: file`
      : `"${scheme}:" is not a supported scheme; supported: file (for a file name with a colon write "./${location}")`;
  }
  if (!/^file:\/\/(?:localhost)?\//i.test(location)) {
    return 'a file URL names an absolute path after three slashes: file:///models/llama';
  }
  if (/[?#]/.test(location)) return 'write "?" as %3F and "#" as %23 in a file URL';
  try {
    if (fileURLToPath(location).includes('\0')) return 'it has a NUL character';
    return undefined;
  } catch (error) {
    return `it is no file URL: ${error instanceof Error ? error.message : String(error)}`;
  }
}
