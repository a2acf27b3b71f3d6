/** Sizes as a manifest writes them: `5GB` (powers of 1000, as in Hugging Face), `2GiB` (powers of 1024), or bytes. */

const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KiB: 2 ** 10,
  MiB: 2 ** 20,
  GiB: 2 ** 30,
  TiB: 2 ** 40,
};

/** The text of a size, for the JSON Schema too. */
export const SIZE_PATTERN = /^\d{1,15}(?:\.\d{1,6})?(?:B|[KMGT]i?B)$/;

/** Whole bytes of a text such as `5GB` or `1.5GiB`; undefined where it is no size, or less than one byte. */
export function parseSize(text: string): number | undefined {
  if (!SIZE_PATTERN.test(text)) return undefined;
  const unitStart = text.search(/[A-Z]/);
  const unitBytes = SIZE_UNITS[text.slice(unitStart)];
  if (unitBytes === undefined) return undefined;
  const sizeBytes = Math.floor(Number(text.slice(0, unitStart)) * unitBytes);
  return Number.isSafeInteger(sizeBytes) && sizeBytes >= 1 ? sizeBytes : undefined;
}

/** The size that a nearly right text was meant to be: `5 gb` and `5g` are `5GB`; undefined where there is no telling. */
export function nearestSize(text: string): string | undefined {
  const parts = /^\s*(\d{1,15}(?:\.\d{1,6})?)\s*([kmgt]?)(i?)b?(?:ytes)?\s*$/i.exec(text);
  if (parts === null) return undefined;
  const prefix = parts[2]!.toUpperCase();
  const candidate = `${parts[1]}${prefix}${prefix === '' ? '' : parts[3]!.toLowerCase()}B`;
  return parseSize(candidate) === undefined ? undefined : candidate;
}
