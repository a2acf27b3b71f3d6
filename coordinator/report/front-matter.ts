/**
 * The front matter of a Hugging Face model card: what of the source's own is still true of its pruned copy. The source's
 * card is hostile input: only fields that are known here, with plain texts in them, are taken.
 */
import { parseDocument } from 'yaml';

/** Cards with long front matter list a few hundred languages or data sets. */
const FRONT_MATTER_CHARACTERS_MAX = 64 * 1024;
const TEXT_CHARACTERS_MAX = 200;
const LIST_MAX = 256;

/** Who may do what with the weights, what they are for and of, what they were trained on: pruning changes none of it. */
const CARRIED = [
  'license',
  'license_name',
  'license_link',
  'language',
  'pipeline_tag',
  'base_model',
  'datasets',
  'tags',
] as const;

export type FrontMatter = { readonly [field in (typeof CARRIED)[number]]?: string | readonly string[] };

/** @returns nothing where the card has no front matter, or none that can be read */
export function readFrontMatter(card: string): FrontMatter {
  const text = /^\ufeff?---[ \t]*\r?\n([\s\S]*?)\r?\n---[ \t]*(?:\r?\n|$)/.exec(card)?.[1];
  if (text === undefined || text.length > FRONT_MATTER_CHARACTERS_MAX) return {};
  const document = parseDocument(text, { logLevel: 'silent' });
  if (document.errors.length > 0) return {};
  let fields: unknown;
  try {
    // No aliases: a few lines of them can stand for gigabytes.
    fields = document.toJS({ maxAliasCount: 0 });
  } catch {
    return {};
  }
  if (typeof fields !== 'object' || fields === null) return {};
  return Object.fromEntries(
    CARRIED.flatMap((field) => {
      const value = Object.hasOwn(fields, field) ? plain((fields as Record<string, unknown>)[field]) : undefined;
      return value === undefined ? [] : [[field, value]];
    }),
  );
}

/** A text, or a list of texts. */
function plain(value: unknown): string | string[] | undefined {
  if (isPlainText(value)) return value;
  if (!Array.isArray(value)) return undefined;
  const texts = value.filter(isPlainText).slice(0, LIST_MAX);
  return texts.length === 0 ? undefined : texts;
}

function isPlainText(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= TEXT_CHARACTERS_MAX && !/\p{Cc}/u.test(value);
}
