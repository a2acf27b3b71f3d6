/** Where a model, an output or calibration data lies: a path or a file URL. The one place that knows which are taken. */

import { fileURLToPath } from 'node:url';

/** The scheme of a location, where it has one. */
export const SCHEME = /^([A-Za-z][A-Za-z0-9+.-]*):/;

/** What is wrong with a location, as a phrase that says what to do; undefined where it can be used. */
export function locationProblem(location: string): string | undefined {
  if (location === '') return 'it is empty';
  if (location.includes('\0')) return 'it has a NUL character';
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
