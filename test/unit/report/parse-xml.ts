/** A strict reader of the markup that reports are made of: what is not well-formed is an error. For tests. */

/** Elements of HTML that have no end tag. */
const VOID_ELEMENTS: ReadonlySet<string> = new Set(['meta', 'link', 'br', 'img', 'hr', 'input', 'base']);
/** Elements whose content is text whatever stands in it. */
const RAW_ELEMENTS: ReadonlySet<string> = new Set(['style', 'script']);
const TAG = /^<(\/?)([a-z][a-z0-9]*)((?:\s+[a-zA-Z][a-zA-Z0-9:-]*="[^"<]*")*)\s*(\/?)>/;
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', '#39': "'" };

interface ParsedElement {
  readonly name: string;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface Parsed {
  /** In the order of their start tags. */
  readonly elements: readonly ParsedElement[];
  /** Every piece of text that is not white space alone, entities resolved. */
  readonly text: readonly string[];
}

/** @throws Error where a tag is not closed, an attribute not quoted, or "<" or "&" stands for itself */
export function parseXml(source: string): Parsed {
  const elements: ParsedElement[] = [];
  const text: string[] = [];
  const open: string[] = [];
  let rest = source.replace(/^<!doctype html>\n/, '');
  while (rest !== '') {
    if (!rest.startsWith('<')) {
      const end = rest.indexOf('<') === -1 ? rest.length : rest.indexOf('<');
      const piece = rest.slice(0, end);
      if (piece.trim() !== '') text.push(resolved(piece).trim());
      rest = rest.slice(end);
      continue;
    }
    const [tag, slash, name = '', attributes = '', selfClosed] = TAG.exec(rest) ?? [];
    if (tag === undefined) throw new Error(`no tag: ${rest.slice(0, 80)}`);
    rest = rest.slice(tag.length);
    if (slash === '/') {
      const expected = open.pop();
      if (expected !== name) throw new Error(`</${name}> where </${expected}> was expected`);
      continue;
    }
    elements.push({ name, attributes: readAttributes(attributes) });
    if (selfClosed === '/' || VOID_ELEMENTS.has(name)) continue;
    if (RAW_ELEMENTS.has(name)) rest = rest.slice(rest.indexOf(`</${name}>`) + name.length + 3);
    else open.push(name);
  }
  if (open.length > 0) throw new Error(`not closed: ${open.join(', ')}`);
  return { elements, text };
}

function readAttributes(source: string): Record<string, string> {
  return Object.fromEntries(
    [...source.matchAll(/([a-zA-Z][a-zA-Z0-9:-]*)="([^"]*)"/g)].map(([, name = '', value = '']) => [
      name,
      resolved(value),
    ]),
  );
}

function resolved(text: string): string {
  return text.replace(/&([^;]*);?/g, (found, entity: string) => {
    const character = ENTITIES[entity];
    if (character === undefined || !found.endsWith(';')) throw new Error(`no entity: ${found}`);
    return character;
  });
}
