/** The strict reader against JSON.parse: they agree, except where the reader is meant to be stricter. */

import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { SecateurError } from '../../../shared/errors/secateur-error.ts';
import { JsonReader, showText } from '../../../shared/safetensors/json-reader.ts';

function readerOf(text: string | Uint8Array): JsonReader {
  return new JsonReader(Buffer.from(text), (problem) => new SecateurError('SafetensorsInvalid', problem));
}

/** Rebuilds a whole value through the reader's own calls. */
function build(reader: JsonReader): unknown {
  const kind = reader.kind();
  if (kind === 'object') {
    const members: [string, unknown][] = [];
    reader.object((key) => members.push([key, build(reader)]));
    return Object.fromEntries(members);
  }
  if (kind === 'array') {
    const elements: unknown[] = [];
    reader.array((index) => {
      expect(index).toBe(elements.length);
      elements.push(build(reader));
    });
    return elements;
  }
  if (kind === 'string') return reader.string();
  if (kind === 'number') return reader.number();
  reader.skip();
  return null;
}

function accepts(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (thrown) {
    if (thrown instanceof SecateurError || thrown instanceof SyntaxError) return false;
    throw thrown;
  }
}

function skipWhole(text: string): void {
  const reader = readerOf(text);
  reader.skip();
  reader.end();
}

/** JSON text without literals (build() returns null for all of them), objects' keys distinct by construction. */
const json = fc.jsonValue({ maxDepth: 5, stringUnit: 'grapheme' });

describe('the JSON reader', () => {
  test('reads what JSON.stringify writes', () => {
    fc.assert(
      fc.property(json, fc.constantFrom(0, 2, '\t'), (value, indent) => {
        const text = JSON.stringify(value, (_, part) => (typeof part === 'boolean' ? null : part), indent);
        const reader = readerOf(text);
        expect(build(reader)).toEqual(JSON.parse(text));
        reader.end();
      }),
      { numRuns: 500 },
    );
  });

  test('accepts a damaged text exactly where JSON.parse does', () => {
    const piece = fc.constantFrom(
      ...'{}[]",:\\/tfn0123456789-+.eEu \n\t\u0001é',
      'true',
      'null',
      '\\u0041',
      '1e5',
      '""',
    );
    fc.assert(
      fc.property(json, fc.nat(), fc.nat(3), piece, (value, position, removed, inserted) => {
        const text = JSON.stringify(value);
        const at = position % (text.length + 1);
        const damaged = text.slice(0, at) + inserted + text.slice(at + removed);
        fc.pre(damaged.isWellFormed());
        let expected: unknown;
        const parses = accepts(() => {
          expected = JSON.parse(damaged);
        });
        // The one thing in reach of this damage that the reader refuses and JSON.parse does not.
        fc.pre(!parses || JSON.stringify(expected).isWellFormed());
        expect(
          accepts(() => skipWhole(damaged)),
          damaged,
        ).toBe(parses);
      }),
      { numRuns: 5000 },
    );
  });

  test('never throws anything but what it was told to, on any bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), (bytes) => {
        accepts(() => {
          const reader = readerOf(bytes);
          build(reader);
          reader.end();
        });
      }),
      { numRuns: 3000 },
    );
  });

  test('accepts 127 levels and no more, in whatever mixture', () => {
    for (const [open, close] of [
      ['[', ']'],
      ['{"a":', '}'],
    ] as const) {
      const nest = (levels: number) => `${open.repeat(levels)}0${close.repeat(levels)}`;
      expect(accepts(() => skipWhole(nest(127)))).toBe(true);
      expect(accepts(() => skipWhole(nest(128)))).toBe(false);
    }
    // Levels are given back at the end of each container.
    expect(accepts(() => skipWhole(`[${'[[]],'.repeat(300)}{}]`))).toBe(true);
  });

  test('says where a value stands, by path and by byte', () => {
    const reader = readerOf('{"a": {"b": [1, "x"]}}');
    expect(() => reader.object(() => reader.object(() => reader.array(() => reader.integer())))).toThrow(
      'found "\\"x\\"]}}", at "a"."b"[1], byte 16',
    );
  });

  test('reads integers up to 2^53 - 1 exactly', () => {
    expect(readerOf('9007199254740991').integer()).toBe(Number.MAX_SAFE_INTEGER);
    expect(() => readerOf('9007199254740992').integer()).toThrow('2^53 - 1');
  });

  test('refuses a string that ends in a backslash at the end of the text', () => {
    for (const text of ['"', '"\\', '"\\"', '"a\\u12"', '"\\ud800"', '"\\udc00\\ud800"']) {
      expect(
        accepts(() => skipWhole(text)),
        text,
      ).toBe(false);
    }
    expect(readerOf('"\\ud83d\\ude00\\"\\\\"').string()).toBe('\u{1f600}"\\');
  });

  test('shows hostile text short, quoted and without control characters', () => {
    expect(showText('a\u001b[31m"\n')).toBe('"a\\u001b[31m\\"\\n"');
    expect(showText('x'.repeat(1e6)).length).toBeLessThan(150);
  });
});
