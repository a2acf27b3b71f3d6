/**
 * HTML and SVG as templates that escape what is put into them: names of tensors, workers and files are hostile input, and
 * only text that stands in the source of secateur is markup.
 */

/** Text that is markup already. Only `html` and `trusted` make it. */
export class Markup {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

export type Content = Markup | string | number | readonly Content[];

/** Characters that a reader does not see, or that turn the direction of what follows: a name could pose as another. */
const UNSEEN = /(?![\n\t])[\p{Cc}\p{Cf}\p{Noncharacter_Code_Point}]/gu;

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

/** Any text as text between tags, or as an attribute in quotes: well-formed, nothing unseen in it. */
export function escapeText(text: string): string {
  return text
    .toWellFormed()
    .replace(UNSEEN, '\ufffd')
    .replace(/[&<>"']/g, (character) => ENTITIES[character] ?? character);
}

/** A template whose values are escaped, markup excepted; lists are joined. Attributes must stand in double quotes. */
export function html(parts: TemplateStringsArray, ...values: Content[]): Markup {
  return new Markup(parts.map((part, index) => part + textOf(values[index] ?? '')).join(''));
}

/** A constant of secateur's own, such as its style sheet. Never anything that was read. */
export function trusted(text: string): Markup {
  return new Markup(text);
}

export const NOTHING = new Markup('');

function textOf(content: Content): string {
  if (content instanceof Markup) return content.text;
  if (typeof content === 'string') return escapeText(content);
  if (typeof content === 'number') return String(content);
  return content.map(textOf).join('');
}

/** At most `charactersMax` of a text, its middle left out: both ends of a name tell it from others. */
export function shortened(text: string, charactersMax: number): string {
  const characters = [...text];
  if (characters.length <= charactersMax) return text;
  const end = Math.floor((charactersMax - 1) / 2);
  return `${characters.slice(0, charactersMax - 1 - end).join('')}…${end === 0 ? '' : characters.slice(-end).join('')}`;
}
