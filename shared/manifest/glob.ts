/** Globs over the names of linears: `*` is any run of characters (dots too), `?` is any one; all else is itself. */

/**
 * Whether the whole of `text` matches `glob`. Time is at most |glob| * |text|: a manifest comes from a user, and a
 * regular expression built from `*a*a*a*b` would backtrack far beyond that.
 */
export function matchesGlob(glob: string, text: string): boolean {
  let globIndex = 0;
  let textIndex = 0;
  // Where to take up again when what follows the last `*` does not fit: that star then swallows one character more.
  let starIndex = -1;
  let starTextIndex = 0;
  while (textIndex < text.length) {
    const wanted = glob[globIndex];
    if (wanted === '*') {
      starIndex = globIndex;
      starTextIndex = textIndex;
      globIndex += 1;
    } else if (wanted === '?' || (wanted !== undefined && wanted === text[textIndex])) {
      globIndex += 1;
      textIndex += 1;
    } else if (starIndex >= 0) {
      starTextIndex += 1;
      globIndex = starIndex + 1;
      textIndex = starTextIndex;
    } else {
      return false;
    }
  }
  while (glob[globIndex] === '*') globIndex += 1;
  return globIndex === glob.length;
}
