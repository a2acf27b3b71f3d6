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
  type Scalar,
  visit,
  type YAMLError,
  type YAMLMap,
} from 'yaml';
import { showValue } from './expectation.ts';
import type { ManifestPath } from './manifest-path.ts';

/** A manifest is a page of text; a file this large is something else, given by mistake. */
const MANIFEST_SIZE_BYTES_MAX = 1024 * 1024;
/** Resolved aliases a document may have: far above what a person writes, far below what fills memory. */
const ALIAS_COUNT_MAX = 100;

/** 1-based, columns in UTF-16 units as editors count them. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

interface PlacedMessage {
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
    uniqueKeys: false,
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
    message: syntaxMessage(error),
  }));
  const version = document.directives?.yaml;
  if (version?.explicit === true && version.version !== '1.2') {
    const message = `not valid here: %YAML ${version.version}; expected YAML 1.2, remove the line`;
    problems.push({ position: { line: 1, column: 1 }, message });
  }
  if (problems.length > 0) return { value: undefined, problems, positionOf: () => undefined };
  try {
    const value = document.toJS({ maxAliasCount: ALIAS_COUNT_MAX }) as unknown;
    const index = indexPairs(document);
    problems.push(
      ...index.duplicates.map((key) => ({
        position: positionAt(key.range?.[0] ?? 0),
        message: `duplicate key ${showValue(key.value)}; keep one of them`,
      })),
    );
    const positionOf = (path: ManifestPath, part: 'value' | 'key') => {
      const offset = offsetOf(document, index.pairs, path, part);
      return offset === undefined ? undefined : positionAt(offset);
    };
    return { value, problems, positionOf };
  } catch (error) {
    // Unresolved aliases and alias bombs show only here; the library gives no position.
    const message = `not valid YAML: ${error instanceof Error ? error.message : String(error)}`;
    return { value: undefined, problems: [{ position: undefined, message }], positionOf: () => undefined };
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

function syntaxMessage(error: YAMLError): string {
  switch (error.code) {
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

type PairsOfMaps = ReadonlyMap<unknown, ReadonlyMap<string, Pair<Node, Node | null>>>;

/**
 * The pairs of every mapping by key (the last of equal keys, as in the value), and the keys that repeat one before
 * them. The library's own check for duplicates, switched off, takes time quadratic in the keys: minutes for 1 MiB.
 */
function indexPairs(document: Document): { pairs: PairsOfMaps; duplicates: Scalar[] } {
  const pairs = new Map<unknown, Map<string, Pair<Node, Node | null>>>();
  const duplicates: Scalar[] = [];
  visit(document, {
    Map(_, map) {
      const byKey = new Map<string, Pair<Node, Node | null>>();
      for (const pair of (map as YAMLMap<Node, Node | null>).items) {
        if (!isScalar(pair.key)) continue;
        const key = String(pair.key.value);
        if (byKey.has(key)) duplicates.push(pair.key);
        byKey.set(key, pair);
      }
      pairs.set(map, byKey);
    },
  });
  return { pairs, duplicates };
}

function offsetOf(
  document: Document,
  pairs: PairsOfMaps,
  path: ManifestPath,
  part: 'value' | 'key',
): number | undefined {
  let node: Node | null | undefined = document.contents;
  let key: Node | undefined;
  for (const segment of path) {
    const collection: Node | null | undefined = isAlias(node) ? node.resolve(document) : node;
    if (isMap(collection)) {
      const pair: Pair<Node, Node | null> | undefined = pairs.get(collection)?.get(String(segment));
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
