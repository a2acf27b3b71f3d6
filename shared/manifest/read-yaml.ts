/**
 * YAML 1.2 text to plain values, with the position of every node kept. Hostile text is refused, never obeyed: tags,
 * other YAML versions, several documents, alias bombs and bottomless nesting are errors.
 */

import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  type Pair,
  parseDocument,
  type YAMLError,
} from 'yaml';
import type { ManifestPath } from './manifest-path.ts';

/** A manifest is a page of text; a file this large is something else, given by mistake. */
export const MANIFEST_SIZE_BYTES_MAX = 1024 * 1024;
/** Resolved aliases a document may have: far above what a person writes, far below what fills memory. */
const ALIAS_COUNT_MAX = 100;

/** 1-based, columns in UTF-16 units as editors count them. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

export interface PlacedMessage {
  readonly position: Position | undefined;
  readonly message: string;
}

export interface YamlText {
  /** The document as plain values; undefined where it could not be read at all. */
  readonly value: unknown;
  readonly problems: readonly PlacedMessage[];
  /** Where the value (or its key) at a path stands; undefined where the text has none. */
  readonly positionOf: (path: ManifestPath, part: 'value' | 'key') => Position | undefined;
}

/** Reads one YAML document. Never throws: what is wrong is in `problems`. */
export function readYaml(text: string): YamlText {
  const unreadable = whyNotText(text);
  if (unreadable !== undefined) return { value: undefined, problems: [unreadable], positionOf: () => undefined };
  const lineCounter = new LineCounter();
  const document = parseDocument(text, {
    lineCounter,
    prettyErrors: false,
    strict: true,
    stringKeys: true,
    resolveKnownTags: false,
    merge: false,
    version: '1.2',
    schema: 'core',
  });
  const positionAt = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line: Math.max(1, line), column: Math.max(1, col) };
  };
  const problems: PlacedMessage[] = syntaxErrors(document).map((error) => ({
    position: positionAt(error.pos[0]),
    message: syntaxMessage(error, text),
  }));
  if (document.directives?.yaml.explicit === true && document.directives.yaml.version !== '1.2') {
    const message = `not valid here: %YAML ${document.directives.yaml.version}; expected YAML 1.2, remove the line`;
    problems.push({ position: { line: 1, column: 1 }, message });
  }
  const positionOf = (path: ManifestPath, part: 'value' | 'key') => {
    const offset = offsetOf(document, path, part);
    return offset === undefined ? undefined : positionAt(offset);
  };
  // A duplicate key leaves the tree sound, so that the rest can be checked too; nothing else does.
  const sound = document.errors.every((error) => error.code === 'DUPLICATE_KEY') && document.warnings.length === 0;
  if (!sound) return { value: undefined, problems, positionOf };
  try {
    return { value: document.toJS({ maxAliasCount: ALIAS_COUNT_MAX }) as unknown, problems, positionOf };
  } catch (error) {
    // Unresolved aliases and alias bombs show only here; the library gives no position.
    const message = `not valid YAML: ${error instanceof Error ? error.message : String(error)}`;
    return { value: undefined, problems: [...problems, { position: undefined, message }], positionOf };
  }
}

function whyNotText(text: string): PlacedMessage | undefined {
  const sizeBytes = Buffer.byteLength(text);
  if (sizeBytes > MANIFEST_SIZE_BYTES_MAX) {
    const message = `expected a manifest of at most ${MANIFEST_SIZE_BYTES_MAX} bytes, found ${sizeBytes} bytes; is this the right file?`;
    return { position: undefined, message };
  }
  const offset = text.search(/[\0\uFFFD]/);
  if (offset < 0) return undefined;
  const lines = text.slice(0, offset).split('\n');
  return {
    position: { line: lines.length, column: lines.at(-1)!.length + 1 },
    message: `expected a text file in UTF-8, found ${text[offset] === '\0' ? 'a NUL byte' : 'bytes that are no UTF-8'}; is this the right file?`,
  };
}

/** The document's errors and warnings; only the first where nesting was too deep, for the others follow from it. */
function syntaxErrors(document: Document): YAMLError[] {
  const deep = document.errors.find((error) => error.code === 'RESOURCE_EXHAUSTION');
  return deep === undefined ? [...document.errors, ...document.warnings] : [deep];
}

function syntaxMessage(error: YAMLError, text: string): string {
  switch (error.code) {
    case 'DUPLICATE_KEY': {
      const key = /^[^:\n]{1,60}/.exec(text.slice(error.pos[0]))?.[0].trim() ?? '';
      return `duplicate key ${JSON.stringify(key)}; keep one of them`;
    }
    case 'TAB_AS_INDENT':
      return 'not valid YAML: a tab as indentation; use spaces';
    case 'MULTIPLE_DOCS':
      return 'expected one manifest, found a second YAML document; put each job into a file of its own';
    case 'RESOURCE_EXHAUSTION':
      return 'not a manifest: nested too deeply';
    case 'NON_STRING_KEY':
      return 'not valid here: expected a plain word as the key';
    default:
      return `not valid YAML: ${error.message}`;
  }
}

function offsetOf(document: Document, path: ManifestPath, part: 'value' | 'key'): number | undefined {
  let node: Node | null | undefined = document.contents;
  let key: Node | undefined;
  for (const segment of path) {
    const collection: Node | null | undefined = isAlias(node) ? node.resolve(document) : node;
    if (isMap<Node, Node | null>(collection)) {
      const pair: Pair<Node, Node | null> | undefined = collection.items.find(
        (item) => isScalar(item.key) && String(item.key.value) === segment,
      );
      if (pair === undefined) return undefined;
      key = pair.key;
      node = pair.value;
    } else if (isSeq<Node>(collection) && typeof segment === 'number' && segment < collection.items.length) {
      key = undefined;
      node = collection.items[segment];
    } else {
      return undefined;
    }
  }
  // An empty value (`sparsity:`) has no place of its own: its key is where to look.
  const empty = node?.range === null || node?.range === undefined || node.range[0] === node.range[1];
  return (part === 'key' || empty ? (key ?? node) : node)?.range?.[0];
}
